"""HTTP/2 folds every stream into one connection; without it each has its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ProxyFor
from tests.servers.nginx_tls import TlsFront
from tests.servers.proxy import peak_in_flight
from tests.servers.rclone_client import make_payload, remote_environment, run_rclone
from tests.servers.s3_server import S3Server

UPLOAD = (
    *("--s3-chunk-size", "5Mi", "--s3-upload-cutoff", "0"),
    *("--s3-upload-concurrency", "10", "--multi-thread-streams", "1"),
)
DOWNLOAD = (
    *("--multi-thread-cutoff", "0", "--multi-thread-chunk-size", "5Mi"),
    *("--multi-thread-streams", "10"),
)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("http2", "flags", "protocol", "expected"),
    [
        (True, (), "HTTP/2.0", 1),
        (True, ("--disable-http2",), "HTTP/1.1", 10),
        (False, (), "HTTP/1.1", 10),
    ],
)
def test_connections_follow_the_protocol(
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tls_front: Callable[..., TlsFront],
    tmp_path: Path,
    http2: bool,
    flags: tuple[str, ...],
    protocol: str,
    expected: int,
) -> None:
    payload = make_payload(tmp_path / "payload", "50Mi")
    # Ten parts, and none is answered before all ten are in flight.
    proxy = proxy_for(s3_server, gather=10)
    front = tls_front(proxy.endpoint, http2=http2)
    env = remote_environment(front.before(s3_server))
    name = f"T:{s3_server.bucket}/tls/{protocol}-{http2}"
    run_rclone(["copyto", str(payload), name, *UPLOAD, *flags], env=env)
    proxy.clear()
    run_rclone(["copyto", name, str(tmp_path / "copy"), *DOWNLOAD, *flags], env=env)
    assert peak_in_flight(r for r in proxy.requests() if r.direction == "down") == 10
    assert (front.connections("up"), front.connections("down")) == (expected, expected)
    data = [request for request in front.requests() if request.direction != "none"]
    assert len(data) == 20
    assert {request.protocol for request in data} == {protocol}
    assert (tmp_path / "copy").read_bytes() == payload.read_bytes()
