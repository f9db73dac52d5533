"""A tool whose version nobody has proved: its connections are evidence, and its log is none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.tools import proofs
from hps.tools.base import Scheme
from tests.command import Ran, hps
from tests.servers.rclone_s3 import find_rclone

# The real rclone by another version. It uploads other parts than it is told to.
_RCLONE = """\
#!/bin/sh
case "$1" in
  version) echo "rclone v{version}"; exit;;
  copyto) exec {program} "$@" --s3-chunk-size=6Mi;;
esac
exec {program} "$@"
"""
_SPEC = """\
api: hps/v1
name: unproved
targets: {local: {provider: embedded}}
data: {size: 12MiB}
matrix: {chunk_size: [5MiB], concurrency: [1, 2]}
order: {kind: declared}
steps: [upload, list, delete]
"""
_WARNING = (
    "! rclone 1.99.0: not proved with this version: only its connections count, and not what it "
    "says; hps tools prove rclone"
)


def _run(folder: Path, version: str) -> Ran:
    program, spec = folder / "rclone", folder / "unproved.yaml"
    program.write_text(_RCLONE.format(version=version, program=find_rclone()))
    program.chmod(0o755)
    spec.write_text(_SPEC)
    env = {"HPS_RCLONE": str(program), "HPS_STATE": str(folder / "state")}
    return hps("run", spec, "--output", folder / "out", "--format", "json", env=env)


def _remember(folder: Path, scheme: Scheme) -> Path:
    env = {"HPS_STATE": str(folder / "state")}
    return proofs.remember("rclone", "1.99.0", (scheme,), datetime.now(UTC), env)


def test_what_its_log_says_is_no_evidence(tmp_path: Path) -> None:
    ran = _run(tmp_path, "1.99.0")

    assert ran.code == 0, ran.err
    uploads = [record for record in ran.results() if record["step"] == "upload"]
    assert len(uploads) == 2
    for upload in uploads:
        assert (upload["status"], upload["tool_version"]) == ("ok", "1.99.0")
        assert upload["throughput_mbps"] > 0
        assert (upload["proof"], upload["effective"], upload["retries"]) == ("sockets", None, None)
        assert upload["setup_s"] is None
        seen = {name for name, value in upload["observed"].items() if value is not None}
        assert "connection_samples" in seen
        assert seen <= {"connections", "connection_samples"}
    others = {record["proof"] for record in ran.results() if record["step"] != "upload"}
    assert others == {None}
    assert ran.err.splitlines().count(_WARNING) == 1


def test_a_proof_for_another_scheme_does_not_count(tmp_path: Path) -> None:
    _remember(tmp_path, "https")
    ran = _run(tmp_path, "1.99.0")
    assert ran.code == 0, ran.err
    assert _WARNING in ran.err.splitlines()


def test_a_broken_proof_does_not_count(tmp_path: Path) -> None:
    _remember(tmp_path, "http").write_text("{")
    ran = _run(tmp_path, "1.99.0")
    assert ran.code == 0, ran.err
    assert _WARNING in ran.err.splitlines()


@pytest.mark.parametrize("version", ["1.75.9", "1.99.0"])
def test_of_a_proved_version_it_is_held_against_the_plan(version: str, tmp_path: Path) -> None:
    """Proved by the project's tests, or on this machine."""
    if version == "1.99.0":
        _remember(tmp_path, "http")
    ran = _run(tmp_path, version)

    assert ran.code == 1, ran.err
    uploads = [record for record in ran.results() if record["step"] == "upload"]
    assert {(upload["status"], upload["proof"]) for upload in uploads} == {("invalid", "log")}
    assert {upload["reason"] for upload in uploads} == {"chunks of 6MiB, not of 5MiB"}
    assert "not proved" not in ran.err
