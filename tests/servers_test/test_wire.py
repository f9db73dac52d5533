"""What rclone really does on the wire, seen by the proxy before two unlike S3 servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ProxyFor
from tests.servers.proxy import (
    RecordingProxy,
    Request,
    connections,
    data_requests,
    peak_in_flight,
)
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

MIB = 1024**2
SIZE = 200 * MIB
CHUNK = 10 * MIB
PUBLISHED = ("--s3-chunk-size=10M", "--transfers=10")
UPLOAD = (
    *("--s3-chunk-size", f"{CHUNK}B", "--s3-upload-cutoff", "0"),
    *("--s3-upload-concurrency", "10", "--multi-thread-streams", "1"),
)
DOWNLOAD = (
    *("--multi-thread-cutoff", "0", "--multi-thread-chunk-size", f"{CHUNK}B"),
    *("--multi-thread-streams", "10"),
)


def _upload(
    proxy: RecordingProxy, server: S3Server, payload: Path, key: str, *flags: str
) -> tuple[Request, ...]:
    env = remote_environment(server, proxy.endpoint)
    run_rclone(["copyto", str(payload), f"T:{server.bucket}/{key}", *flags], env=env)
    return data_requests(proxy.requests(), "up", prefix=key)


def _download(
    proxy: RecordingProxy, server: S3Server, key: str, place: Path, *flags: str
) -> tuple[Request, ...]:
    env = remote_environment(server, proxy.endpoint)
    run_rclone(["copyto", f"T:{server.bucket}/{key}", str(place), *flags], env=env)
    return data_requests(proxy.requests(), "down", prefix=key)


def _assert_twenty_parts(requests: tuple[Request, ...]) -> None:
    assert sorted(request.part_number or 0 for request in requests) == list(range(1, 21))
    assert {request.body_bytes for request in requests} == {CHUNK}
    assert {request.status for request in requests} == {200}


@pytest.mark.prove
def test_the_published_flags_send_four_parts_at_once_and_get_one_whole_object(
    any_server: S3Server, proxy_for: ProxyFor, payload_200mib: Path, tmp_path: Path
) -> None:
    proxy = proxy_for(any_server, gather=4)
    up = _upload(proxy, any_server, payload_200mib, "wire/published", *PUBLISHED)
    _assert_twenty_parts(up)
    assert peak_in_flight(up) == 4
    proxy.clear()
    proxy.gather = 1
    place = tmp_path / "copy"
    (down,) = _download(proxy, any_server, "wire/published", place, *PUBLISHED)
    assert (down.kind, down.range, down.body_bytes) == ("get", None, SIZE)
    assert place.read_bytes() == payload_200mib.read_bytes()


@pytest.mark.prove
def test_explicit_flags_move_ten_chunks_at_once_both_ways(
    any_server: S3Server, proxy_for: ProxyFor, payload_200mib: Path, tmp_path: Path
) -> None:
    proxy = proxy_for(any_server, gather=10)
    up = _upload(proxy, any_server, payload_200mib, "wire/explicit", *UPLOAD)
    _assert_twenty_parts(up)
    assert peak_in_flight(up) == 10
    assert connections(up) >= 10
    proxy.clear()
    place = tmp_path / "copy"
    down = _download(proxy, any_server, "wire/explicit", place, *DOWNLOAD)
    starts = range(0, SIZE, CHUNK)
    ranges = sorted(request.range or (0, 0) for request in down)
    assert ranges == [(start, start + CHUNK - 1) for start in starts]
    assert {request.body_bytes for request in down} == {CHUNK}
    assert peak_in_flight(down) == 10
    assert connections(down) >= 10
    assert place.read_bytes() == payload_200mib.read_bytes()


def test_a_delay_shows_overlap_where_the_server_is_fast(
    s3_server: S3Server, proxy_for: ProxyFor, payload_15mib: Path, tmp_path: Path
) -> None:
    run_rclone(
        ["copyto", str(payload_15mib), f"T:{s3_server.bucket}/wire/delay"],
        env=remote_environment(s3_server),
    )
    proxy = proxy_for(s3_server, min_data_s=1.0)
    flags = ("--multi-thread-cutoff", "0", "--multi-thread-chunk-size", "5Mi")
    place = tmp_path / "copy"
    down = _download(proxy, s3_server, "wire/delay", place, *flags, "--multi-thread-streams", "3")
    assert min(request.ended_s - request.started_s for request in down) >= 1.0
    assert len(down) == 3
