"""The decision before the first trial: measured, stored, and obeyed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from hps.model import unknown
from tests.command import REPOSITORY, Ran, Record, hps, keys_of, targets_yaml
from tests.run.throttled import throttled
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
node: {{{rules}}}
data: {{size: 5MiB}}
matrix: {{target: [s3], chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, delete]
"""
_PROBE_S3 = "probe: {target: s3, seconds: 4}"
_PATIENCE_S = 60.0


def _spec(folder: Path, targets: str, rules: str) -> Path:
    """An experiment with a name of its own: its results in the bucket are nobody else's."""
    path = folder / "admission.yaml"
    path.write_text(
        _SPEC.format(name=f"admission-{folder.name}"[:60], targets=targets, rules=rules)
    )
    return path


def _run(folder: Path, targets: str, rules: str, env: dict[str, str], *how: str) -> Ran:
    spec = _spec(folder, targets, rules)
    return hps("run", spec, *how, "--output", folder / "out", "--format", "json", env=env)


def _names(server: S3Server, folder: Path) -> list[str]:
    """Every object that this experiment has in the bucket."""
    listed = run_rclone(
        ["lsf", "-R", "--files-only", f"T:{server.bucket}/tests"], env=remote_environment(server)
    )
    return [name for name in listed.stdout.splitlines() if f"admission-{folder.name}"[:60] in name]


def _stored(server: S3Server, folder: Path) -> list[Record]:
    """The lines of the one journal of this experiment in the bucket."""
    (name,) = [name for name in _names(server, folder) if name.endswith(".jsonl")]
    text = run_rclone(
        ["cat", f"T:{server.bucket}/tests/{name}"], env=remote_environment(server)
    ).stdout
    return [json.loads(line) for line in text.splitlines()]


def _check(record: Record, name: str) -> dict[str, Any]:
    (found,) = [check for check in record["verdict"]["checks"] if check["name"] == name]
    return dict(found)


def _wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.prove
def test_a_slow_link_is_measured_and_rejected_and_the_bucket_has_the_record(
    s3_server: S3Server, tmp_path: Path
) -> None:
    with throttled(s3_server.endpoint, up_mbps=10, down_mbps=30) as slow:
        rules = f"min_upload: 20Mbps, min_download: 3Mbps, {_PROBE_S3}"
        ran = _run(tmp_path, targets_yaml(slow, s3_server), rules, keys_of(s3_server))

    assert ran.code == 3, ran.err
    assert "min_upload" in ran.err
    (run,) = _stored(s3_server, tmp_path)
    assert ran.records() == [run]
    upload, download = _check(run, "min_upload"), _check(run, "min_download")
    assert (upload["outcome"], upload["bound"]) == ("fail", 20)
    assert download["outcome"] == "pass"
    # The link gives no more than its rates; on a busy machine it gives less.
    assert 1 < upload["value"] < 12.5
    assert 3 < download["value"] < 37.5
    assert run["probe"]["upload_mbps"]["value"] == upload["value"]
    assert len(run["probe"]["upload_points"]) >= 3
    assert run["verdict"]["action"] == "exit"
    assert all(name.startswith("results/") for name in _names(s3_server, tmp_path))


def test_a_fast_link_is_accepted(s3_server: S3Server, tmp_path: Path) -> None:
    rules = (
        "min_upload: 1Mbps, min_download: 1Mbps, max_rtt: 10s, "
        "probe: {target: s3, seconds: 3, rtt_hosts: ['127.0.0.1:9']}"
    )
    targets = targets_yaml(s3_server.endpoint, s3_server)

    ran = _run(tmp_path, targets, rules, keys_of(s3_server))

    assert ran.code == 0, ran.err
    run = ran.records()[0]
    assert [check["outcome"] for check in run["verdict"]["checks"]] == ["pass"] * 3
    assert run["verdict"]["action"] == "run"
    assert len(run["probe"]["rtt"]["samples_s"]) == 10
    assert run["probe"]["rtt_hosts"]["127.0.0.1:9"]["median_s"] is None
    assert "refused" in run["probe"]["rtt_hosts"]["127.0.0.1:9"]["reason"]
    assert [record["status"] for record in ran.results()] == ["ok", "ok"]
    assert all(name.startswith("results/") for name in _names(s3_server, tmp_path))


def test_nothing_is_measured_that_nobody_asks_for(s3_server: S3Server, tmp_path: Path) -> None:
    targets = targets_yaml(s3_server.endpoint, s3_server)

    ran = _run(tmp_path, targets, "on_reject: exit", keys_of(s3_server))

    assert ran.code == 0, ran.err
    run = ran.records()[0]
    assert run["verdict"] == {"accepted": True, "action": "run", "reasons": [], "checks": []}
    assert run["probe"]["upload_mbps"] == asdict(unknown("not measured"))
    assert run["probe"]["rtt"]["reason"] == "not measured"


@pytest.mark.prove
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("how", ["--check", "--no-check"])
def test_wrong_keys_reject_no_node(
    how: str, times: int, s3_server: S3Server, tmp_path: Path
) -> None:
    """Whether the check finds them or the probe, and where they keep the record away, too."""
    targets = targets_yaml(s3_server.endpoint, s3_server)
    targets = targets.replace("TEST_SECRET", "OTHER_SECRET", times)
    env = {**keys_of(s3_server), "OTHER_SECRET": "wrong-" * 6}

    rules = f"min_upload: 1Mbps, min_download: 1Mbps, {_PROBE_S3}"
    ran = _run(tmp_path, targets, rules, env, how)

    assert ran.code == 2, ran.err
    assert "SignatureDoesNotMatch" in ran.err.splitlines()[-1]
    assert "rejected" not in ran.err
    assert "wrong-wrong" not in ran.out + ran.err
    (journal,) = (tmp_path / "out").rglob("*.jsonl")
    (run,) = map(json.loads, journal.read_text().splitlines())
    assert (run["status"], run["reason_code"]) == ("failed", "bad_credentials")
    if times == 1:
        assert _stored(s3_server, tmp_path) == [run]


def test_an_output_that_cannot_be_written_is_found_before_the_probe(
    s3_server: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    taken = tmp_path / "out" / f"admission-{tmp_path.name}"[:60]
    taken.write_text("a file stands where the experiment's folder should be")
    rules = f"min_upload: 1Mbps, {_PROBE_S3}"

    ran = _run(tmp_path, targets_yaml(s3_server.endpoint, s3_server), rules, keys_of(s3_server))

    assert ran.code == 6
    assert "cannot write results to" in ran.err
    assert "probe_started" not in ran.err


@pytest.mark.prove
@pytest.mark.parametrize(("on_unknown", "code"), [("reject", 3), ("accept", 0)])
def test_what_an_unknown_does_is_declared(
    on_unknown: str, code: int, s3_server: S3Server, tmp_path: Path
) -> None:
    away = """\
  away: {provider: other, endpoint: "http://127.0.0.1:9", bucket: b,
    access_key_id: {env: TEST_KEY_ID}, secret_access_key: {env: TEST_SECRET}}
results:"""
    targets = targets_yaml(s3_server.endpoint, s3_server).replace("results:", away)
    rules = (
        f"max_rtt: 1s, min_upload: 1Mbps, on_unknown: {on_unknown}, "
        "probe: {target: away, seconds: 1}"
    )

    ran = _run(tmp_path, targets, rules, keys_of(s3_server))

    assert ran.code == code, ran.err
    run = ran.records()[0]
    checks = [_check(run, name) for name in ("max_rtt", "min_upload")]
    assert [check["outcome"] for check in checks] == ["unknown", "unknown"]
    assert all("refuse" in check["reason"] for check in checks)
    assert run["verdict"]["accepted"] is (code == 0)
    assert len(ran.results()) == (2 if code == 0 else 0)


def test_a_probe_that_is_switched_off_is_unknown(s3_server: S3Server, tmp_path: Path) -> None:
    targets = targets_yaml(s3_server.endpoint, s3_server)
    rules = "min_upload: 1Mbps, probe: {method: none}"

    ran = _run(tmp_path, targets, rules, keys_of(s3_server))

    assert ran.code == 3, ran.err
    assert _check(ran.records()[0], "min_upload")["reason"] == "the probe is switched off"


def test_continue_runs_and_marks_the_run(s3_server: S3Server, tmp_path: Path) -> None:
    targets = targets_yaml(s3_server.endpoint, s3_server)

    ran = _run(tmp_path, targets, "min_disk: 900TiB, on_reject: continue", keys_of(s3_server))

    assert ran.code == 0, ran.err
    verdict = ran.records()[0]["verdict"]
    assert (verdict["accepted"], verdict["action"]) == (False, "continue")
    assert [record["status"] for record in ran.results()] == ["ok", "ok"]


@pytest.mark.prove
@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_during_the_probe_leaves_nothing_behind(
    kill: signal.Signals, s3_server: S3Server, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with throttled(s3_server.endpoint, up_mbps=10, down_mbps=30) as slow:
        rules = "min_upload: 1Mbps, probe: {target: s3, seconds: 8}"
        spec = _spec(tmp_path, targets_yaml(slow, s3_server), rules)
        with subprocess.Popen(
            [sys.executable, "-m", "hps", "run", str(spec), "--output", str(tmp_path / "out")],
            env={**os.environ, **keys_of(s3_server), "TMPDIR": str(temporary)},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            _wait_for(lambda: _uploads(running.pid))
            children = psutil.Process(running.pid).children(recursive=True)
            running.send_signal(kill)
            _, err = running.communicate(timeout=_PATIENCE_S)
        _wait_for(lambda: not any(child.is_running() for child in children))
        _wait_for(lambda: not list(temporary.iterdir()))

    assert running.returncode == (143 if kill == signal.SIGTERM else -signal.SIGKILL), err
    if kill == signal.SIGTERM:
        (run,) = _stored(s3_server, tmp_path)
        assert run["probe"]["upload_mbps"]["reason"] == "the run was stopped"
        # Nothing is held against the node.
        assert (run["status"], run["reason_code"]) == ("failed", "stopped")
        assert all(name.startswith("results/") for name in _names(s3_server, tmp_path))


def _uploads(pid: int) -> bool:
    """Whether a child sends the files of the probe."""
    try:
        children = psutil.Process(pid).children()
        return any(arg.endswith("/sent/") for child in children for arg in child.cmdline())
    except psutil.Error:
        return False  # one of them has just ended
