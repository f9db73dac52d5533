"""What goes wrong on the wire, played by servers that speak bytes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from hps.node.metadata import MetadataAnswer, MetadataClient, client_from, trimmed

Talk = Callable[[socket.socket, threading.Event], None]
OK_STATUS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n"
    b'{"ready":true, "started": true}'
)


class Server:
    """Accepts, reads one request, and lets `talk` answer; keeps each request's bytes."""

    def __init__(self, talk: Talk) -> None:
        self.talk, self.over = talk, threading.Event()
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            # A client that gave up is no fault of the server.
            with connection, suppress(OSError):
                connection.settimeout(10)
                self.requests.append(read_request(connection))
                self.talk(connection, self.over)


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (more := connection.recv(1 << 16)):
        received += more
    return received


@contextmanager
def serving(talk: Talk) -> Iterator[Server]:
    server = Server(talk)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join(timeout=20)
        assert not thread.is_alive()


def saying(answer: bytes) -> Talk:
    return lambda connection, over: connection.sendall(answer)


def http(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(talk: Talk, *, slept: list[float] | None = None, timeout_s: float = 5.0) -> MetadataAnswer:
    waits: list[float] = [] if slept is None else slept
    with serving(talk) as server:
        client = MetadataClient(base_url=server.url, answer_timeout_s=timeout_s, sleep=waits.append)
        return client.status()


def test_an_answer_that_never_comes_is_tried_three_times() -> None:
    slept: list[float] = []

    def keep_silent(connection: socket.socket, over: threading.Event) -> None:
        over.wait(30)

    answer = ask(keep_silent, slept=slept, timeout_s=0.05)
    assert answer == MetadataAnswer(ok=False, detail="no answer in 0.05 s")
    assert slept == [1.0, 2.0]


def test_an_answer_that_trickles_is_cut() -> None:
    """Each byte comes well within a socket's time-out; the whole answer would take hours."""

    def trickle(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not over.wait(0.01):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    assert ask(trickle, timeout_s=0.2).detail == "no answer in 0.2 s"


def test_a_slow_answer_that_comes_in_time_counts() -> None:
    def late(connection: socket.socket, over: threading.Event) -> None:
        over.wait(0.2)
        connection.sendall(OK_STATUS)

    answer = ask(late, timeout_s=30.0)
    assert (answer.ok, answer.body) == (True, {"ready": True, "started": True})


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        slept: list[float] = []
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        answer = MetadataClient(base_url=url, sleep=slept.append).reallocate("x")
    assert answer == MetadataAnswer(ok=False, detail="no connection: Connection refused")
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize(
    ("said", "detail", "tries"),
    [
        (http("200 OK", "text/html", b"<html>Welcome</html>"), "answered 200: HTML instead", 1),
        (http("200 OK", "application/json", b"<!doctype html>"), "answered 200: HTML instead", 1),
        (http("502 Bad Gateway", "text/html", b"<html>"), "answered 502 Bad Gateway: HTML", 3),
        (http("429 Too Many Requests", "text/plain", b""), "answered 429 Too Many Requests", 3),
        (http("302 Found", "text/plain", b""), "answered 302 Found", 1),
        (http("404 Not Found", "text/plain", b"nope"), "answered 404 Not Found: not JSON", 1),
        (http("204 No Content", "text/plain", b""), "answered 204 No Content", 1),
        (http("200 OK", "application/json", b"[1]"), "answered 200: not a JSON object", 1),
        (http("200 OK", "application/json", b'{"ready": 1}'), "answered 200 without a usable", 1),
        (http("200 OK", "application/json", b""), "answered 200 without a usable ready", 1),
        (http("200 OK", "application/json", b"[" * 60_000), "answered 200: not JSON", 1),
        (http("200 OK", "text/plain", b"x" * 70_000), "an answer of more than 65536 bytes", 3),
        (b"garbage\r\n\r\n", "no answer: garbage", 3),
        (b"", "no answer: Remote end closed connection", 3),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
            "an answer that broke off after 1 of 50 bytes",
            3,
        ),
    ],
)
def test_wrong_answers_are_values(said: bytes, detail: str, tries: int) -> None:
    slept: list[float] = []
    answer = ask(saying(said), slept=slept)
    assert not answer.ok
    assert answer.detail.startswith(detail)
    assert len(slept) == tries - 1


def test_a_problem_is_shown_on_one_short_line() -> None:
    problem = {"code": "forbidden", "detail": "not\nfor \x1b[31myou " + "y" * 999, "title": "No"}
    said = http("403 Forbidden", "application/problem+json", json.dumps(problem).encode())
    answer = ask(saying(said))
    assert answer.detail.startswith("answered 403 Forbidden: forbidden, not for [31myou yyy")
    assert answer.detail.isprintable()
    assert len(answer.detail) < 350


@pytest.mark.parametrize("url", ["", "https://host", "ftp://host", "http://", "http://h:x", "h"])
def test_an_address_that_cannot_be_used_is_a_value(url: str) -> None:
    answer = MetadataClient(base_url=url, sleep=lambda _: None).status()
    assert not answer.ok
    assert answer.detail.startswith("the address")


def test_proxies_are_gone_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(saying(OK_STATUS)) as server:
        assert MetadataClient(base_url=f"{server.url}/").status().ok
    assert server.requests[0].startswith(b"GET /v1/status HTTP/1.1\r\n")
    assert b"\r\nMetadata: true\r\n" in server.requests[0]


def test_the_address_may_be_set() -> None:
    assert client_from({}).base_url == "http://169.254.169.254"
    assert client_from({"HPS_METADATA_URL": ""}).base_url == "http://169.254.169.254"
    assert client_from({"HPS_METADATA_URL": "http://h:1"}).base_url == "http://h:1"


def test_quick_tries_once() -> None:
    slept: list[float] = []
    with serving(saying(http("500 Oh", "text/plain", b""))) as server:
        client = MetadataClient(base_url=server.url, sleep=slept.append)
        assert client.quick(5.0).status().status_code == 500
    assert slept == []


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("slow", "slow"),
        ("  ", "no reason given"),
        ("x" * 1000, "x" * 1000),
        ("x" * 1001, "x" * 999 + "…"),
        ("a\udc80b", "a?b"),
    ],
)
def test_reasons_are_trimmed(reason: str, sent: str) -> None:
    assert trimmed(reason) == sent


@pytest.mark.parametrize("cost", [2**31, -(2**31) - 1])
def test_a_cost_that_does_not_fit_is_not_sent(cost: int) -> None:
    answer = MetadataClient(base_url="http://127.0.0.1:9").set_deletion_cost(cost)
    assert (answer.ok, "does not fit" in answer.detail) == (False, True)
