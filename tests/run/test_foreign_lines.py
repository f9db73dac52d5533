"""What others put beside a run's results, on disk and in the bucket, never ends a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ran, hps, keys_of, target_text
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_MACHINE = "a-node"
_SPEC = """\
api: hps/v1
name: lines
targets:
{target}
data: {{size: 100KiB}}
steps: [upload, download, delete]
"""


def _run(server: S3Server, folder: Path, output: str, *more: str) -> Ran:
    target = target_text("s3", server.endpoint, server.bucket, folder=folder.name)
    (folder / "s.yaml").write_text(_SPEC.format(target=target))
    env = {**keys_of(server), "SALAD_MACHINE_ID": _MACHINE}
    return hps("run", folder / "s.yaml", "--output", folder / output, *more, env=env)


def _journal(output: Path) -> Path:
    (path,) = (output / "lines" / _MACHINE).glob("*.jsonl")
    return path


def _odd_lines(result: dict[str, Any]) -> list[str]:
    without = {name: value for name, value in result.items() if name != "warmup"}
    cell = json.loads('{"size": ' + "[" * 300 + "]" * 300 + "}")
    odd = ({"throughput_mbps": "fast"}, {"reason": "\ud800"}, {"cell": cell}, {"retries": None})
    return [json.dumps(without), *(json.dumps(result | one) for one in odd), "[" * 100_000]


@pytest.mark.prove
@pytest.mark.parametrize("more", [(), ("--fresh",), ("--rerun", "all")])
@pytest.mark.parametrize("place", ["bucket", "disk"])
def test_odd_lines_are_named_and_passed_over(
    s3_server: S3Server, tmp_path: Path, place: str, more: tuple[str, ...]
) -> None:
    assert _run(s3_server, tmp_path, "out").code == 0
    journal = _journal(tmp_path / "out")
    run, *results = journal.read_text().splitlines()
    journal.write_text("\n".join([run, *_odd_lines(json.loads(results[0])), *results, ""]))
    output = "out"
    if place == "bucket":
        key = f"T:{s3_server.bucket}/{tmp_path.name}/results/lines/{_MACHINE}/{journal.name}"
        found = run_rclone(
            ["lsf", "-R", key.rpartition("/results")[0]], env=remote_environment(s3_server)
        )
        assert f"results/lines/{_MACHINE}/{journal.name}" in str(found)
        run_rclone(["copyto", str(journal), key], env=remote_environment(s3_server))
        output = "elsewhere"

    again = _run(s3_server, tmp_path, output, *more)

    # What only the bucket knows, and is so young, may be at work elsewhere: it is not gone on with.
    assert again.code == (2 if place == "bucket" and "--rerun" in more else 0), again.err
    if "--fresh" not in more:
        assert "line 2 lacks warmup; line 3 has no throughput_mbps that can be" in again.err
        assert journal.stem in again.err


@pytest.mark.prove
@pytest.mark.parametrize("text", [b"[" * 4096, b'{"if_interrupted": {"run_id": 1}}', b"\xff" * 99])
def test_a_lock_may_hold_anything(s3_server: S3Server, tmp_path: Path, text: bytes) -> None:
    home = tmp_path / "out" / "lines" / _MACHINE
    home.mkdir(parents=True)
    (home / ".lock").write_bytes(text)
    ran = _run(s3_server, tmp_path, "out")
    assert ran.code == 0, ran.err


def test_what_a_lock_says_was_interrupted_is_a_line_or_nothing(
    s3_server: S3Server, tmp_path: Path
) -> None:
    assert _run(s3_server, tmp_path, "out").code == 0
    journal = _journal(tmp_path / "out")
    text = journal.read_bytes()
    told = {"run_id": journal.stem, "if_interrupted": {"run_id": journal.stem, "kind": "result"}}
    (journal.parent / ".lock").write_text(json.dumps(told))
    ran = _run(s3_server, tmp_path, "out")
    assert ran.code == 0, ran.err
    assert journal.read_bytes() == text
