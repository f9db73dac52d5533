"""Answers on a terminal: control characters of foreign text are escaped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hps.cli.output import answer
from tests.command import REPOSITORY, hps
from tests.results.fleet import write_fleet
from tests.results.tabled import lines, write

_EVIL = "\x1b]0;x\x07\x1b[2J\x9b31m\u202e\rX\x7f"
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As somebody could write them who may write to the bucket."""
    (path,) = write_fleet(tmp_path_factory.mktemp("evil"), nodes=1)
    records = [{**record, "machine_id": f"m{_EVIL}"} for record in lines(path)]
    for record in records[1:]:
        record |= {"target": f"r2{_EVIL}", "reason": _EVIL}
        record["cell"] = {name: f"{value}{_EVIL}" for name, value in record["cell"].items()}
    return write(path, *records)


@pytest.mark.parametrize(
    "command",
    [("results", "show", "2"), ("compare", "--format", "csv"), ("compare", "--format", "json")],
    ids=" ".join,
)
def test_no_terminal_obeys_what_somebody_stored(command: tuple[str, ...], results: Path) -> None:
    ran = hps(*command, "--input", results)

    assert ran.code == 0, ran.err
    assert "\\u001b" in ran.out
    assert _OBEYED.findall(f"{ran.out}{ran.err}".replace("\r\n", "\n")) == []
    if "json" in command:
        assert json.loads(ran.out)


@pytest.mark.parametrize("text", ["a\tb\r\nc\n", "é \xa0 \u3000 😀", "[1m"])
def test_all_else_is_printed_as_it_is(text: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    answer(text)
    answer("\x1b[1m", coloured=True)
    assert capfdbinary.readouterr().out == f"{text}\x1b[1m".encode()


@pytest.mark.parametrize("command", ["run", "clean", "validate"])
def test_on_a_terminal_mistakes_are_in_colour(command: str, tmp_path: Path) -> None:
    spec = tmp_path / "wrong.yaml"
    spec.write_text("api: hps/v1\nname: wrong\n")
    ours, theirs = os.openpty()
    try:
        argv = [sys.executable, "-m", "hps", command, str(spec)]
        done = subprocess.run(
            argv, cwd=REPOSITORY, stdin=theirs, stdout=theirs, stderr=theirs, timeout=300
        )
        said = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == 2
    assert b"\x1b[31merror:" in said
    assert b"\\x1b" not in said
