"""One file over https, from a real server: bounds, redirects, certificates, and what goes wrong."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from hps.errors import HpsError
from hps.source import web
from hps.source.address import WebAddress, web_address
from hps.spec.source import MAX_BYTES
from tests.servers.web import Asked, Page, WebServer, serve_web


class Serve(Protocol):
    """Starts web servers that live until the test ends, and are trusted."""

    def __call__(self, answer: Callable[[Asked], Page | None], *, tls: bool = True) -> WebServer:
        """A running server."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(answer: Callable[[Asked], Page | None], *, tls: bool = True) -> WebServer:
            server = stack.enter_context(serve_web(tmp_path, answer, tls=tls))
            if server.ca_cert is not None:
                monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_cert))
            return server

        yield start


def _at(server: WebServer, target: str) -> WebAddress:
    return web_address(f"{server.endpoint}{target}")


def _failure(address: WebAddress, timeout_s: float = 20) -> HpsError:
    with pytest.raises(HpsError) as caught:
        web.fetch(address, timeout_s=timeout_s)
    assert caught.value.hint
    return caught.value


def _redirect(to: str, status: int = 302) -> Page:
    return Page(status=status, headers={"Location": to})


def _countdown(asked: Asked) -> Page:
    left = int(asked.target.rpartition("/")[2])
    return _redirect(f"/{left - 1}") if left else Page(body=b"there")


def test_the_bytes_are_those_of_the_server_and_the_query_is_sent(serve: Serve) -> None:
    server = serve(lambda _: Page(body=b"a: \xff\r\n"))
    assert web.fetch(_at(server, "/d/a.yaml?token=1")) == b"a: \xff\r\n"
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("GET", "/d/a.yaml?token=1")
    ]


def test_plain_http_on_loopback(serve: Serve) -> None:
    assert web.fetch(_at(serve(lambda _: Page(body=b"x"), tls=False), "/a")) == b"x"


def test_a_certificate_that_nobody_vouches_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(lambda _: Page())
    monkeypatch.delenv("SSL_CERT_FILE")
    error = _failure(_at(server, "/a"))
    assert "the certificate is not trusted: self-signed" in error.message
    assert "SSL_CERT_FILE" in error.hint
    assert server.asked == []


def test_five_redirects_are_followed_and_no_more(serve: Serve) -> None:
    server = serve(_countdown)
    assert web.fetch(_at(server, "/5")) == b"there"
    error = _failure(_at(server, "/6"))
    assert error.message.endswith("/6 redirects more than 5 times")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect(serve: Serve, status: int) -> None:
    server = serve(
        lambda asked: Page(body=b"b") if asked.target == "/b" else _redirect("/b", status)
    )
    assert web.fetch(_at(server, "/a")) == b"b"


@pytest.mark.parametrize(
    ("tls", "to", "said"),
    [
        (True, "http://127.0.0.1/a", "redirects away from https"),
        (True, "http://example.org/a", "http, which anybody on the way can change"),
        (False, "http://localhost/a", "redirects away from https"),
        (True, "https://user:hunter2@127.0.0.1/a", "user name or password"),
        (True, "file:///etc/hostname", "names no host"),
        (True, "ftp://127.0.0.1/a", "redirects away from https"),
        (True, "https://[a", "cannot be read"),
    ],
)
def test_redirects_that_are_refused(serve: Serve, tls: bool, to: str, said: str) -> None:
    server = serve(lambda _: _redirect(to), tls=tls)
    error = _failure(_at(server, "/a"))
    assert said in error.message
    assert "hunter2" not in error.message + error.hint
    assert len(server.asked) == 1


def test_no_more_than_a_mebibyte_and_a_byte_is_read(serve: Serve) -> None:
    server = serve(lambda _: Page(body=b"x" * (MAX_BYTES + 100_000)))
    assert len(web.fetch(_at(server, "/a"))) == MAX_BYTES + 1


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "does it open in a browser"), (403, "not public"), (500, "browser")]
)
def test_what_is_not_200(serve: Serve, status: int, hint: str) -> None:
    server = serve(lambda _: Page(status=status, body=b"name: x"))
    error = _failure(_at(server, "/a?token=hunter2"))
    assert error.message.startswith(f"{server.endpoint}/a cannot be read: {status} ")
    assert hint in error.hint


def test_an_answer_that_breaks_off(serve: Serve) -> None:
    server = serve(lambda _: Page(body=b"name: x", announced=1000))
    assert "broke off after 7 of 1000 bytes" in _failure(_at(server, "/a")).message


def test_a_server_that_never_answers(serve: Serve) -> None:
    error = _failure(_at(serve(lambda _: None), "/a"), timeout_s=0.5)
    assert "was not read within 0.5 s" in error.message or "timed out" in error.message


def test_a_port_where_nobody_listens() -> None:
    assert "Connection refused" in _failure(web_address("http://127.0.0.1:9/a")).message


def test_a_proxy_of_the_environment_is_asked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(lambda _: Page(status=403), tls=False)
    monkeypatch.setenv("https_proxy", proxy.endpoint)
    error = _failure(web_address("https://files.example.org/a"))
    assert "403" in error.message
    assert error.__context__ is None  # it would keep the connection open
    assert [(asked.method, asked.target) for asked in proxy.asked] == [
        ("CONNECT", "files.example.org:443")
    ]


def test_a_slow_drip_does_not_stretch_the_time_out() -> None:
    """Each byte comes well within a socket's time-out; all of them together do not."""
    error = _failure_of_drip()
    assert error.message.endswith("was not read within 1 s")


def _failure_of_drip() -> HpsError:
    ended = threading.Event()

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(100):  # without a deadline for all of it, this is a good answer
                if ended.wait(0.05):
                    return
                self.request.sendall(b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return _failure(web_address(f"http://127.0.0.1:{server.server_address[1]}/a"), 1)
        finally:
            ended.set()
            server.shutdown()
