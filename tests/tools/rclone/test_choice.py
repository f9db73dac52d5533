"""Which rclone is used, and what is said where there is none that works."""

from __future__ import annotations

from pathlib import Path

from tests.command import hps
from tests.servers.rclone_s3 import find_rclone

_ARGUMENTS = ("run", "experiments/quickstart.yaml", "--set", "data.size=5MiB")


def _program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_named_one_wins_and_its_version_is_recorded(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    named = _program(tmp_path / "mine", f'echo "$1" >> {calls}\nexec {find_rclone()} "$@"')

    ran = hps(*_ARGUMENTS, "--output", tmp_path, "--format", "json", env={"HPS_RCLONE": named})

    assert ran.code == 0, ran.err
    assert {"version", "serve", "copyto"} <= set(calls.read_text().split())
    version = ran.records()[0]["node"]["rclone_version"]
    assert version
    assert {r["tool_version"] for r in ran.results() if r["tool"] == "rclone"} == {version}


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = _program(tmp_path / "old", "echo rclone v1.53.3-DEV")

    ran = hps(*_ARGUMENTS, "--output", tmp_path / "out", env={"HPS_RCLONE": old})

    assert ran.code == 2
    assert "is rclone 1.53.3, which is too old" in ran.err
    assert "https://rclone.org/install/" in ran.err
    assert not (tmp_path / "out").exists()


def test_something_else_is_refused(tmp_path: Path) -> None:
    other = _program(tmp_path / "other", "echo hello")

    assert "does not answer like rclone" in hps(*_ARGUMENTS, env={"HPS_RCLONE": other}).err
    missing = hps(*_ARGUMENTS, env={"HPS_RCLONE": "/no/such/rclone"})
    assert missing.code == 2
    assert "HPS_RCLONE names '/no/such/rclone', which is no program" in missing.err
