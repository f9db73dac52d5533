"""Runs that ended with another file, or whose journal is spoilt: said, and no hindrance."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from hps.results import lock
from tests.command import Ran, hps, keys_of, targets_yaml
from tests.proofs import left_to_prove
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

RUN = "20260101T000000000Z-abcdef"
_MACHINE = "machine-1"
_RUN_LINE = {
    "kind": "run",
    "run_id": RUN,
    "machine_id": _MACHINE,
    "experiment": "places",
    "spec_sha256": "0" * 64,
    "started_at": "2026-01-01T00:00:00.000000Z",
}
_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: 100KiB}}
steps: [upload, delete]
"""


class _Site:
    """An experiment, and a run of it that was killed."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.server, self.output = server, folder / "out"
        self.spec = folder / "places.yaml"
        targets = targets_yaml(server.endpoint, server)
        targets = targets.replace("folder: tests", "folder: now")
        self.spec.write_text(_SPEC.format(name=folder.name, targets=targets))
        self.journal = self.output / folder.name / _MACHINE / f"{RUN}.jsonl"
        self.journal.parent.mkdir(parents=True)
        self.journal.with_suffix(".open").touch()

    def run(self, *options: str, **more: str) -> Ran:
        env = {**keys_of(self.server), "SALAD_MACHINE_ID": _MACHINE, **more}
        return hps("run", self.spec, "--output", self.output, *options, env=env)

    def is_settled(self) -> bool:
        return not self.journal.with_suffix(".open").exists()

    def place(self, folder: str) -> dict[str, Any]:
        bucket = {"bucket": self.server.bucket, "folder": folder}
        return {"provider": "other", "endpoint": self.server.endpoint, **bucket}


@pytest.fixture
def site(tmp_path: Path, s3_server: S3Server) -> _Site:
    return _Site(tmp_path, s3_server)


def test_what_may_be_left_in_a_target_of_then_is_told(site: _Site) -> None:
    targets = {
        "s3": site.place("now"),
        "old": site.place("then"),
        "local": {"provider": "embedded"},
    }
    run = {**_RUN_LINE, "targets": targets}
    site.journal.write_text(f"{json.dumps(run)}\n")

    ran = site.run()

    assert ran.code == 0, ran.err
    assert site.is_settled(), ran.err
    events = [line for line in ran.err.splitlines() if "earlier_run_elsewhere" in line]
    assert len(events) == 1, ran.err
    assert "old was another place" in events[0]


@pytest.mark.parametrize(
    "line",
    [
        *left_to_prove(b"no JSON"),
        b'{"kind":"result","operation_id":["x"],"status":"ok"}',
    ],
)
def test_a_journal_that_is_spoilt_stays_as_it_is(line: bytes, site: _Site) -> None:
    text = f'{{"kind":"run","run_id":"{RUN}"}}\n'.encode() + line + b"\n"
    site.journal.write_bytes(text)

    ran = site.run()

    assert ran.code == 0, ran.err
    assert site.is_settled(), ran.err
    assert site.journal.read_bytes() == text
    assert "earlier_run_unreadable" in ran.err


def test_a_sender_that_does_not_start_for_it_is_no_hindrance(site: _Site, tmp_path: Path) -> None:
    """What could not be sent before the run is sent after it."""
    site.journal.write_text(json.dumps(_RUN_LINE) + "\n")
    wrapper, real, tried = tmp_path / "rclone", shlex.quote(find_rclone()), tmp_path / "tried"
    first = f"[ -e {tried} ] || {{ touch {tried}; exit 1; }}"
    wrapper.write_text(f'#!/bin/sh\ncase "$1" in rcd) {first};; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)

    ran = site.run(HPS_RCLONE=str(wrapper))

    assert tried.exists()
    assert ran.code == 0, ran.err
    assert site.is_settled(), ran.err
    assert "results_sent_later" in ran.err


@pytest.mark.prove
def test_one_that_another_process_goes_on_with_is_left_to_that(site: _Site) -> None:
    """With another output folder, it may have taken the run up from the bucket."""
    site.journal.write_text(json.dumps(_RUN_LINE) + "\n")
    place = f"T:{site.server.bucket}/now/data/{site.spec.parent.name}/{RUN}/0123456789ab/0.bin"
    env = remote_environment(site.server)
    run_rclone(["copyto", str(site.spec), place], env=env)

    with lock.announced(RUN):
        ran = site.run()
    assert ran.code == 0, ran.err
    assert not site.is_settled()
    assert run_rclone(["cat", place], env=env).stdout == site.spec.read_text()

    assert site.run("--fresh").code == 0
    assert site.is_settled(), ran.err
    assert run_rclone(["cat", place], env=env, check=False).stdout == ""
