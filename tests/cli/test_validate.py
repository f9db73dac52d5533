"""`hps validate`: its answers for people and for programs, and where it reads experiments from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hps.catalog.steps import STEP_KINDS
from hps.cli import validate
from hps.errors import HpsError
from tests.command import REPOSITORY, Ran, hps

_GOOD = """\
api: hps/v1
name: ${NAME:-good}
targets: {local: {provider: embedded}}
data: {size: 1MiB}
steps: [upload]
"""
_BAD = _GOOD.replace("1MiB", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `good.yaml`, `bad.yaml` and `two.yaml`."""
    (tmp_path / "good.yaml").write_text(_GOOD)
    (tmp_path / "bad.yaml").write_text(_BAD)
    (tmp_path / "two.yaml").write_text(
        _GOOD + "repetitions: 2\nmatrix: {checksum: [true, false]}\n"
    )
    return tmp_path


def _piped(*arguments: str, text: str | bytes, env: dict[str, str] | None = None) -> Ran:
    """`hps` with `text` on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "hps", *arguments],
        env={**os.environ, **(env or {})},
        cwd=REPOSITORY,
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def test_one_is_not_spoken_of_as_many(folder: Path) -> None:
    ran = hps("validate", "good.yaml", "two.yaml", cwd=folder)
    assert ran.out == "good.yaml: ok, 1 cell, 1 operation\ntwo.yaml: ok, 2 cells, 4 operations\n"


def test_json_has_an_object_for_each_file(folder: Path) -> None:
    ran = hps("validate", "--format", "json", "good.yaml", "bad.yaml", "none.yaml", cwd=folder)
    assert ran.code == 2
    good, bad, none = json.loads(ran.out)
    assert good == {
        "file": "good.yaml",
        "valid": True,
        "experiment": "good",
        "spec_sha256": good["spec_sha256"],
        "cells": 1,
        "operations": 1,
        "errors": [],
        "warnings": [],
    }
    assert len(good["spec_sha256"]) == 64
    assert (bad["file"], bad["valid"], bad["cells"]) == ("bad.yaml", False, None)
    (error,) = bad["errors"]
    assert (error["file"], error["line"], error["rule"]) == ("bad.yaml", 4, "bad-size")
    assert none["errors"][0]["rule"] == "file"
    assert good.keys() == bad.keys() == none.keys()


def test_json_of_good_files_is_not_empty(folder: Path) -> None:
    ran = hps("validate", "--format", "json", "good.yaml", cwd=folder)
    assert (ran.code, [one["valid"] for one in json.loads(ran.out)]) == (0, [True])


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_dash_is_standard_input(command: str) -> None:
    ran = _piped(command, "--format", "json", "-", text=_GOOD, env={"NAME": "piped"})
    assert ran.code == 0, ran.err
    answer: Any = json.loads(ran.out)
    answer = answer[0] if command == "validate" else answer
    assert answer["experiment"] == "piped"


def test_a_run_from_standard_input_records_it(tmp_path: Path) -> None:
    arguments = ("run", "-", "--output", str(tmp_path), "--format", "json")
    ran = _piped(*arguments, text=_GOOD)
    assert ran.code == 0, ran.err
    run = ran.records()[0]
    assert (run["spec_source"], run["spec"]) == ("<stdin>", _GOOD)


def test_what_is_wrong_on_standard_input_has_its_place() -> None:
    assert _piped("validate", "-", text=_BAD).out.startswith("<stdin>:4:14: error: 'data.size'")
    assert _piped("plan", "-", text=_BAD).err.startswith("<stdin>:4:14: error: 'data.size'")
    assert "<stdin>:1:1: error: the file is empty" in _piped("validate", "-", text="").out


def test_standard_input_is_bounded() -> None:
    whole = _GOOD.encode()
    full = whole + b"#" * (1024**2 - len(whole))
    assert _piped("validate", "-", text=full).code == 0
    refused = _piped("validate", "-", text=full + b"#")
    assert refused.code == 2
    assert "standard input holds more than 1 MiB" in refused.out


def test_a_closed_standard_input_is_told() -> None:
    command = 'exec "$0" -m hps validate - <&-'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "standard input is closed" in done.stdout


def test_without_a_file_the_one_that_experiment_names_is_checked(folder: Path) -> None:
    named = {"EXPERIMENT": "a name with blanks.yaml"}
    (folder / named["EXPERIMENT"]).write_text(_GOOD)
    assert "blanks.yaml: ok" in hps("validate", cwd=folder, env=named).out
    assert hps("validate", "bad.yaml", cwd=folder, env=named).code == 2


def test_without_any_that_is_said() -> None:
    with pytest.raises(HpsError) as caught:
        validate.named((), None)
    assert "neither FILE nor EXPERIMENT" in caught.value.message
    ran = hps("validate", env={"EXPERIMENT": ""})
    assert (ran.code, ran.out) == (2, "")
    assert "hps validate experiments/quickstart.yaml" in ran.err


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_each_step_that_comes_before_an_upload_is_an_error_on_its_line(
    command: str, tmp_path: Path
) -> None:
    needing = [kind.name for kind in STEP_KINDS.values() if kind.needs]
    first = ["verify", "load"]  # which downloads that are no good themselves would do for
    kinds = [*first, *(name for name in needing if name not in first), "upload"]
    lines = "".join(f"  - {kind}\n" for kind in kinds)
    (tmp_path / "early.yaml").write_text(_GOOD.replace(" [upload]\n", f"\n{lines}"))

    ran = hps(command, "early.yaml", cwd=tmp_path)

    assert ran.code == 2
    at_line = _GOOD.count("\n") + 1
    for number, kind in enumerate(kinds[:-1]):
        early = f"early.yaml:{at_line + number}:5: error: '{kind}' comes before what it needs"
        assert early in ran.out + ran.err
