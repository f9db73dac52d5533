"""Faults do what they say, and what rclone's log tells of the retries that they cause."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hps.prove.http_head import RequestHead
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Reset, Rule, Stall, Truncate, slow_down
from tests.servers.proxy import RecordingProxy, data_requests
from tests.servers.rclone_client import log_messages, remote_environment, run_rclone
from tests.servers.s3_server import S3Server

PART = 5 * 1024**2
HALF = PART // 2
UPLOAD = ("--s3-chunk-size", "5Mi", "--s3-upload-cutoff", "0", "--s3-upload-concurrency", "2")
DOWNLOAD = (
    *("--multi-thread-cutoff", "0", "--multi-thread-chunk-size", "5Mi"),
    *("--multi-thread-streams", "2"),
)
LOG = ("-vv", "--use-json-log", "--retries", "1")
SDK_LOG = ("--s3-sdk-log-mode", "Retries")
KEY = "faults/object"


def _part_two(head: RequestHead) -> bool:
    return head.part_number == 2


def _second_range(head: RequestHead) -> bool:
    return head.range == (PART, 2 * PART - 1)


def _upload(
    proxy: RecordingProxy, server: S3Server, payload: Path, *flags: str
) -> CompletedProcess[str]:
    return run_rclone(
        ["copyto", str(payload), f"T:{server.bucket}/{KEY}", "--ignore-times", *flags, *LOG],
        env=remote_environment(server, proxy.endpoint),
        check=False,
    )


def _download(
    proxy: RecordingProxy, server: S3Server, place: Path, *flags: str
) -> CompletedProcess[str]:
    return run_rclone(
        ["copyto", f"T:{server.bucket}/{KEY}", str(place), *flags, *LOG],
        env=remote_environment(server, proxy.endpoint),
        check=False,
    )


@pytest.fixture
def stored(s3_server: S3Server, payload_15mib: Path) -> S3Server:
    """A server that has the payload under `KEY`."""
    run_rclone(
        ["copyto", str(payload_15mib), f"T:{s3_server.bucket}/{KEY}"],
        env=remote_environment(s3_server),
    )
    return s3_server


@pytest.mark.parametrize(
    ("action", "status", "sent_bytes"),
    [
        (slow_down(match=_part_two).action, 503, 0),
        (Reset(), None, 0),
        (Truncate(after_bytes=HALF), None, HALF),
        (Truncate(after_bytes=HALF, reset=True), None, HALF),
    ],
)
def test_a_part_that_fails_is_sent_again(
    s3_server: S3Server,
    proxy_for: ProxyFor,
    payload_15mib: Path,
    action: Action,
    status: int | None,
    sent_bytes: int,
) -> None:
    proxy = proxy_for(s3_server, rules=(Rule(match=_part_two, action=action),))
    done = _upload(proxy, s3_server, payload_15mib, *UPLOAD)
    assert done.returncode == 0
    parts = data_requests(proxy.requests(), "up")
    first, second = (request for request in parts if request.part_number == 2)
    assert (first.status, first.complete) == (status, status is not None)
    assert first.body_bytes == sent_bytes
    assert (second.status, second.body_bytes, second.complete) == (200, PART, True)
    assert [request.status for request in parts if request.part_number != 2] == [200, 200]


@pytest.mark.parametrize("reset", [False, True])
def test_a_range_that_is_cut_is_asked_for_again_from_there(
    stored: S3Server, proxy_for: ProxyFor, payload_15mib: Path, tmp_path: Path, reset: bool
) -> None:
    cut = Truncate(after_bytes=HALF, reset=reset)
    proxy = proxy_for(stored, rules=(Rule(match=_second_range, action=cut),))
    done = _download(proxy, stored, tmp_path / "copy", *DOWNLOAD)
    assert done.returncode == 0
    assert (tmp_path / "copy").read_bytes() == payload_15mib.read_bytes()
    ranges = data_requests(proxy.requests(), "down")
    first, again = (r for r in ranges if r.range and PART <= r.range[0] < 2 * PART)
    assert (first.body_bytes, first.complete) == (HALF, False)
    assert again.range
    assert again.range[1] == 2 * PART - 1
    # A reset throws away what the client's kernel had not yet handed over.
    assert again.range[0] <= PART + HALF if reset else again.range[0] == PART + HALF
    assert sum("Reopening on read failure" in line for line in log_messages(done.stderr)) == 1


def test_a_rule_without_an_end_fails_every_request(
    stored: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    rule = slow_down(times=None, match=lambda head: head.kind == "range")
    proxy = proxy_for(stored, rules=(rule,))
    done = _download(proxy, stored, tmp_path / "copy", *DOWNLOAD, "--low-level-retries", "1")
    assert done.returncode != 0
    assert "SlowDown" in done.stderr
    statuses = {request.status for request in data_requests(proxy.requests(), "down")}
    assert statuses == {503}
    assert rule.used == len(data_requests(proxy.requests(), "down"))


def test_a_stalled_request_takes_that_much_longer(
    stored: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(stored, rules=(Rule(match=_second_range, action=Stall(seconds=0.7)),))
    assert _download(proxy, stored, tmp_path / "copy", *DOWNLOAD).returncode == 0
    (stalled,) = (r for r in proxy.requests() if r.range == (PART, 2 * PART - 1))
    assert stalled.ended_s - stalled.started_s >= 0.7
    assert (stalled.status, stalled.complete) == (200, True)


def test_the_first_rule_that_is_left_decides() -> None:
    head = RequestHead(raw=b"", method="GET", path="/b/k", query={}, headers={})
    rules = [
        Rule(match=lambda head: head.key == "other", action=Reset()),
        Rule(match=lambda head: head.key == "k", action=Stall(seconds=1), times=2),
        Rule(match=lambda head: head.kind == "get", action=Reset()),
    ]
    proxy = RecordingProxy("127.0.0.1", 1, rules=rules)
    actions = [proxy.fault_for(head) for _ in range(4)]
    assert actions == [Stall(seconds=1), Stall(seconds=1), Reset(), None]


RETRY = re.compile(r"^retrying request S3/(\w+), attempt 2$")


@pytest.mark.prove
@pytest.mark.parametrize(
    ("match", "operation"),
    [
        (_part_two, "UploadPart"),
        (lambda head: "uploads" in head.query, "CreateMultipartUpload"),
        (
            lambda head: head.method == "POST" and "uploadId" in head.query,
            "CompleteMultipartUpload",
        ),
        (lambda head: head.method == "HEAD", "HeadObject"),
    ],
)
def test_rclone_logs_a_retry_of_its_sdk_only_when_asked(
    s3_server: S3Server,
    proxy_for: ProxyFor,
    payload_15mib: Path,
    match: Callable[[RequestHead], bool],
    operation: str,
) -> None:
    proxy = proxy_for(s3_server, rules=(slow_down(match=match),))
    silent = _upload(proxy, s3_server, payload_15mib, *UPLOAD)
    assert not [line for line in log_messages(silent.stderr) if "retry" in line.lower()]
    proxy.rules.append(slow_down(match=match))
    asked = _upload(proxy, s3_server, payload_15mib, *UPLOAD, *SDK_LOG)
    retried = [found[1] for line in log_messages(asked.stderr) if (found := RETRY.match(line))]
    assert retried == [operation]
    assert [request.status for request in proxy.requests()].count(503) == 2


def test_a_reset_of_a_connection_in_use_before_is_never_logged(
    stored: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(stored, rules=(Rule(match=lambda head: head.kind == "get", action=Reset()),))
    done = _download(proxy, stored, tmp_path / "copy", *SDK_LOG)
    assert done.returncode == 0
    lost, sent = data_requests(proxy.requests(), "down")
    assert (lost.status, sent.status) == (None, 200)
    assert not [line for line in log_messages(done.stderr) if "retry" in line.lower()]


def test_a_plain_put_is_retried_by_rclone_itself(
    s3_server: S3Server, proxy_for: ProxyFor, payload_15mib: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(slow_down(match=lambda head: head.kind == "put"),))
    done = _upload(proxy, s3_server, payload_15mib, "--multi-thread-streams", "1")
    refused, stored = data_requests(proxy.requests(), "up")
    assert (done.returncode, refused.status, stored.status) == (0, 503, 200)
    received = [m for m in log_messages(done.stderr) if m.startswith("Received error: ")]
    assert [line.rpartition(" - ")[2] for line in received] == ["low level retry 1/10"]
    assert "api error SlowDown" in received[0]
