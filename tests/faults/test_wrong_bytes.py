"""Bytes that came back wrong are never a number, whoever notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.compare.summary import summarize
from hps.results import journal
from tests.command import hps
from tests.conftest import ProxyFor
from tests.faults.trials import SIZE, sweep
from tests.servers.faults import Action, Flip, Respond, Rule
from tests.servers.s3_server import S3Server

_QUERY = "select count(throughput_mbps) from results where step = 'download'"


def _coming_down(action: Action) -> Rule:
    return Rule(match=lambda head: head.direction == "down", action=action)


@pytest.mark.parametrize(
    ("name", "action", "chunk", "checksum"),
    [
        # nothing compares checksums but `verify`
        ("flipped", Flip(at=1000), "5MiB", "false"),
        # an answer without an ETag leaves rclone nothing to compare with
        ("without-etag", Respond(status=200, body=b"x" * SIZE), "8MiB", "true"),
    ],
)
def test_a_download_that_verify_disproves_is_no_result(
    name: str,
    action: Action,
    chunk: str,
    checksum: str,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    swept = sweep(
        tmp_path,
        s3_server,
        proxy_for,
        rules=[[], [_coming_down(action)], []],
        name=name,
        steps=f"[upload, {{download: {{chunk_size: {chunk}, concurrency: 1}}}}, verify, delete]",
        axes=f", checksum: [{checksum}]",
    )

    assert swept.ran.code == 1, swept.ran.err
    trials = [sorted(trial, key=lambda result: result["step_index"]) for trial in swept.results]
    statuses = [[result["status"] for result in trial] for trial in trials]
    assert statuses == [["ok"] * 4, ["ok", "failed", "failed", "ok"], ["ok"] * 4]
    _, download, verify, _ = trials[1]
    assert verify["reason"] == "1 of 1 files differ: 0.bin has other content"
    assert download["reason"] == f"its bytes are wrong: {verify['reason']}"
    assert download["throughput_mbps"] is None
    assert download["started_at"] < verify["started_at"], "it began when it began"

    (path,) = (tmp_path / "out").rglob("*.jsonl")
    rows = {row.step: row for row in summarize(journal.latest(journal.read(path).records))}
    assert (rows["download"].n, rows["download"].not_ok) == (2, {"failed": 1})
    counted = hps("results", "query", "--input", tmp_path / "out", _QUERY)
    assert counted.out.split()[-1] == "2", counted
