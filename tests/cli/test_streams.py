"""Standard streams that are closed or full: a lost answer is reported, and nothing else breaks."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Ran, hps
from tests.results.fleet import write_fleet

_SPEC = """\
api: hps/v1
name: streams
targets: {local: {provider: embedded}}
data: {size: 1MiB}
steps: [upload, delete]
"""
_COMMANDS = (
    *("--help", "--version", "run --help", "results --help"),
    *("validate spec.yaml", "plan spec.yaml", "plan --format commands spec.yaml"),
    *("check spec.yaml", "run spec.yaml", "node spec.yaml", "clean spec.yaml", "results views"),
    *("results list --input stored", "results query 'select 1' --input stored"),
    *("results export --input stored", "compare stored"),
)
_SLOW = ("report stored -o report.html",)
_FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, and stored results."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "spec.yaml").write_text(_SPEC)
    write_fleet(folder / "stored", nodes=1)
    return folder


def _redirected(command: str, redirection: str, folder: Path) -> Ran:
    program = shlex.join([sys.executable, "-m", "hps"])
    done = subprocess.run(
        ["bash", "-c", f"exec {program} {command} {redirection}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.mark.prove
@pytest.mark.parametrize("command", [*_COMMANDS, *_SLOW])
def test_an_answer_that_is_lost_is_no_success(folder: Path, command: str) -> None:
    places = {">&-": "standard output is closed"}
    if _FULL.exists():
        places[f">{_FULL}"] = "No space left on device"
    for redirection, why in places.items():
        ran = _redirected(command, redirection, folder)
        assert ran.code == 1, ran.err
        told = [line for line in ran.err.splitlines() if not line.startswith("{")]
        assert told == [f"hps: the answer could not be printed: {why}"]


@pytest.mark.prove
@pytest.mark.parametrize("command", _COMMANDS)
def test_without_the_other_streams_the_answer_is_the_same(folder: Path, command: str) -> None:
    for redirection in ("<&- 2>&-", *([f"2>{_FULL}"] if _FULL.exists() else [])):
        ran = _redirected(command, redirection, folder)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out


def test_what_is_wrong_keeps_its_code_where_nobody_can_be_told(folder: Path) -> None:
    for redirection in (">&- 2>&-", f">{_FULL} 2>{_FULL}", "2>&-"):
        assert _redirected("validate nowhere.yaml", redirection, folder).code == 2
        assert _redirected("plan --nonsense", redirection, folder).code == 2


def test_events_are_not_written_to_a_file_in_the_place_of_a_stream(
    folder: Path, tmp_path: Path
) -> None:
    command = f"run spec.yaml --output {shlex.quote(str(tmp_path))}"
    assert _redirected(command, "<&- >&- 2>&-", folder).code == 1
    (journal,) = tmp_path.rglob("*.jsonl")
    kinds = [json.loads(line)["kind"] for line in journal.read_text().splitlines()]
    assert kinds == ["run", "result", "result"]


def test_a_reader_that_does_not_read_to_the_end_is_no_failure(folder: Path) -> None:
    ran = _redirected("--help", "| true; exit ${PIPESTATUS[0]}", folder)
    assert (ran.code, ran.err) == (0, "")


def test_a_pipe_that_does_not_wait_is_waited_for(folder: Path) -> None:
    make_it_so = f"{shlex.quote(sys.executable)} -c 'import os; os.set_blocking(1, False)'"
    program = shlex.join([sys.executable, "-m", "hps", "plan", "--format", "json", "spec.yaml"])
    many = " --set repetitions=900"
    command = (
        f"{{ {make_it_so}; {program}{many}; }} | {{ sleep 2; wc -c; }}; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    expected = hps("plan", "--format", "json", "spec.yaml", "--set", "repetitions=900", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == len(expected.out.encode()) > 2**16
