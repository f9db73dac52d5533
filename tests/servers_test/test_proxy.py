"""The proxy passes HTTP on unchanged, and its records say what passed."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.conftest import ProxyFor
from tests.servers.faults import Rule, Stall, Truncate
from tests.servers.proxy import RecordingProxy, peak_in_flight
from tests.servers.s3_server import S3Server
from tests.servers_test.scripted_server import Turn, scripted_server

# moto asks for a signature and does not check it, so that a test can send any request.
SIGNATURE = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request"
PAYLOAD = random.Random(7).randbytes(3 * 1024**2 + 17)


def _connect(proxy: RecordingProxy) -> socket.socket:
    address = ("127.0.0.1", urlsplit(proxy.endpoint).port or 0)
    return socket.create_connection(address, 10.0)


def _send(
    proxy: RecordingProxy,
    method: str,
    key: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", urlsplit(proxy.endpoint).port, timeout=30)
    with closing(connection):
        chunked = body is not None and not isinstance(body, bytes)
        connection.request(
            method,
            f"/bucket/{key}",
            body,
            {"Authorization": SIGNATURE, **(headers or {})},
            encode_chunked=chunked,
        )
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (piece := connection.recv(count - len(received))):
        received += piece
    return received


def _all_of(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def test_an_object_passes_unchanged_both_ways(moto_server: S3Server, proxy_for: ProxyFor) -> None:
    proxy = proxy_for(moto_server)
    assert _send(proxy, "PUT", "proxy/whole", PAYLOAD)[0] == 200
    assert _send(proxy, "GET", "proxy/whole")[:2] == (200, PAYLOAD)
    status, part, _ = _send(proxy, "GET", "proxy/whole", headers={"Range": "bytes=5-1048580"})
    assert (status, part) == (206, PAYLOAD[5:1048581])
    put, get, ranged = proxy.requests()
    assert (put.kind, put.direction, put.body_bytes, put.status) == ("put", "up", len(PAYLOAD), 200)
    assert (get.kind, get.direction, get.body_bytes) == ("get", "down", len(PAYLOAD))
    assert (ranged.kind, ranged.range, ranged.body_bytes) == ("range", (5, 1048580), 1048576)
    assert {put.key, get.key, ranged.key} == {"proxy/whole"}
    assert all(request.complete for request in (put, get, ranged))


def test_a_body_in_chunks_is_counted_without_its_framing(
    moto_server: S3Server, proxy_for: ProxyFor
) -> None:
    proxy = proxy_for(moto_server)
    pieces = (PAYLOAD[start : start + 100_001] for start in range(0, len(PAYLOAD), 100_001))
    assert _send(proxy, "PUT", "proxy/chunked", pieces)[0] == 200
    assert _send(proxy, "GET", "proxy/chunked")[1] == PAYLOAD
    assert proxy.requests()[0].body_bytes == len(PAYLOAD)


def test_responses_without_a_body_end_at_their_head(
    moto_server: S3Server, proxy_for: ProxyFor
) -> None:
    proxy = proxy_for(moto_server)
    _send(proxy, "PUT", "proxy/headless", b"twelve bytes")
    status, body, headers = _send(proxy, "HEAD", "proxy/headless")
    assert (status, body, headers["Content-Length"]) == (200, b"", "12")
    not_modified = _send(proxy, "GET", "proxy/headless", headers={"If-None-Match": headers["ETag"]})
    assert not_modified[:2] == (304, b"")
    assert _send(proxy, "DELETE", "proxy/headless")[:2] == (204, b"")
    assert [request.status for request in proxy.requests()] == [200, 200, 304, 204]
    assert [request.kind for request in proxy.requests()] == ["put", "control", "get", "control"]


@pytest.mark.parametrize(
    ("answer", "payload_bytes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: y\r\n\r\n0123456789", 10),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\n0123\r\n6;name=value\r\n456789\r\n0\r\nTrailer: z\r\n\r\n",
            10,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 13),
        (b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
    ],
)
def test_every_byte_of_a_response_is_passed_on(answer: bytes, payload_bytes: int) -> None:
    head = b"GET /bucket/key HTTP/1.1\r\nhOST: kept\r\nX-Odd:  two  spaces\r\n\r\n"
    with (
        scripted_server([Turn(mark=b"\r\n\r\n", answer=answer)]) as server,
        RecordingProxy("127.0.0.1", server.port, min_data_s=0.05) as proxy,
        _connect(proxy) as client,
    ):
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        assert _all_of(client) == answer
        (request,) = proxy.requests()
    assert bytes(server.received) == head
    assert (request.body_bytes, request.status, request.complete) == (payload_bytes, 200, True)


def test_leave_to_send_a_body_comes_from_the_server() -> None:
    head = b"PUT /bucket/key HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    leave, answer = (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )
    turns = [Turn(mark=b"\r\n\r\n", answer=leave), Turn(mark=b"body", answer=leave + answer)]
    with (
        scripted_server(turns) as server,
        RecordingProxy("127.0.0.1", server.port) as proxy,
        _connect(proxy) as client,
    ):
        client.sendall(head)
        assert _receive(client, len(leave)) == leave
        client.sendall(b"body")
        client.shutdown(socket.SHUT_WR)
        assert _all_of(client) == leave + answer
        (request,) = proxy.requests()
    assert bytes(server.received) == head + b"body"
    assert (request.body_bytes, request.status) == (4, 200)


def test_a_server_may_refuse_a_body() -> None:
    length = f"Content-Length: {len(PAYLOAD)}\r\n".encode()
    head = b"PUT /bucket/key HTTP/1.1\r\n" + length + b"Expect: 100-continue\r\n\r\n"
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    with (
        scripted_server([Turn(mark=b"\r\n\r\n", answer=answer)]) as server,
        RecordingProxy("127.0.0.1", server.port) as proxy,
        _connect(proxy) as client,
    ):
        client.sendall(head)
        assert _receive(client, len(answer)) == answer
        # A client may send its body all the same; no reset must overtake the answer.
        client.sendall(PAYLOAD)
        client.shutdown(socket.SHUT_WR)
        assert _all_of(client) == b""
        (request,) = proxy.requests()
    assert bytes(server.received) == head
    assert (request.body_bytes, request.status, request.complete) == (0, 403, True)


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_response_ends_in_good_order_or_in_a_reset(reset: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    cut = Rule(match=lambda head: True, action=Truncate(after_bytes=4, reset=reset))
    with (
        scripted_server([Turn(mark=b"\r\n\r\n", answer=answer)]) as server,
        RecordingProxy("127.0.0.1", server.port, rules=[cut]) as proxy,
        _connect(proxy) as client,
    ):
        client.sendall(b"GET /bucket/key HTTP/1.1\r\n\r\n")
        assert _receive(client, len(answer) - 6) == answer[:-6]
        if reset:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            assert client.recv(1) == b""
        (request,) = proxy.requests()
    assert (request.body_bytes, request.status, request.complete) == (4, 200, False)


def test_requests_of_one_connection_share_one_upstream_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with (
        scripted_server([Turn(mark=b"\r\n\r\n", answer=answer)] * 3) as server,
        RecordingProxy("127.0.0.1", server.port) as proxy,
        _connect(proxy) as client,
    ):
        for _ in range(3):
            client.sendall(b"GET /bucket/key HTTP/1.1\r\n\r\n")
            assert _receive(client, len(answer)) == answer
        requests = proxy.requests()
        port = client.getsockname()[1]
    assert [request.client_port for request in requests] == [port] * 3


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_data_request_takes_as_long_as_it_must(
    moto_server: S3Server, proxy_for: ProxyFor, method: str
) -> None:
    _send(proxy_for(moto_server), "PUT", "proxy/slow", b"twelve bytes")
    proxy = proxy_for(moto_server, min_data_s=0.4)
    _send(proxy, method, "proxy/slow", b"twelve bytes" if method == "PUT" else None)
    (request,) = proxy.requests()
    assert request.ended_s - request.started_s >= 0.4


def test_gathered_requests_get_their_last_byte_together(
    moto_server: S3Server, proxy_for: ProxyFor
) -> None:
    proxy = proxy_for(moto_server)
    _send(proxy, "PUT", "proxy/gather", b"0123456789")
    proxy.clear()
    proxy.gather = 2
    lines = ["GET /bucket/proxy/gather HTTP/1.1", "Host: x", f"Authorization: {SIGNATURE}"]
    head = "\r\n".join([*lines, "", ""]).encode()
    with _connect(proxy) as first, _connect(proxy) as second:
        first.sendall(head)
        received = b""
        while not received.endswith(b"012345678"):
            received += first.recv(65536)
        assert select.select([first], [], [], 0.2)[0] == []
        second.sendall(head)
        assert first.recv(1) == b"9"
    assert peak_in_flight(proxy.requests()) == 2


def test_a_proxy_without_a_server_ends_its_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with RecordingProxy("127.0.0.1", port) as proxy, _connect(proxy) as client:
        assert client.recv(1) == b""


def test_stopping_ends_what_is_under_way(moto_server: S3Server) -> None:
    rule = Rule(match=lambda head: head.kind == "get", action=Stall(seconds=600))
    with RecordingProxy(moto_server.host, moto_server.port, rules=[rule]) as proxy:
        client = _connect(proxy)
        client.sendall(b"GET /bucket/proxy/none HTTP/1.1\r\n\r\n")
        while not rule.used:
            select.select([], [], [], 0.01)
    with client:
        (request,) = proxy.requests(settle_s=0.0)
    assert request.key == "proxy/none"
