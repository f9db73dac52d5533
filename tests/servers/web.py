"""A web server on loopback whose pages a test writes, with TLS or without."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.servers.certificate import make_certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request. `target` is what stands behind the method: path and query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer. `announced` is its Content-Length where that is not the truth."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """A running server. `answer` gives each request its page, or None: never any answer."""

    endpoint: str
    ca_cert: Path | None
    asked: list[Asked]


@contextmanager
def serve_web(
    folder: Path, answer: Callable[[Asked], Page | None], *, tls: bool = True
) -> Iterator[WebServer]:
    """Serve on loopback while the context is open; `folder` takes the certificate."""
    asked: list[Asked] = []
    ended = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, asked, ended))
    server.daemon_threads = True
    certificate = make_certificate(folder) if tls else None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        # The handshake belongs to each connection's own thread.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        scheme = "http" if certificate is None else "https"
        yield WebServer(
            endpoint=f"{scheme}://127.0.0.1:{server.server_address[1]}",
            ca_cert=None if certificate is None else certificate.cert,
            asked=asked,
        )
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(
    answer: Callable[[Asked], Page | None], asked: list[Asked], ended: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # a client that trusts us not, or has gone

        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            request = Asked(
                method=self.command, target=self.path, headers=dict(self.headers), body=body
            )
            asked.append(request)
            page = answer(request)
            if page is None:
                ended.wait(60)
                return
            announced = len(page.body) if page.announced is None else page.announced
            self.send_response(page.status)
            for name, value in {**page.headers, "Content-Length": str(announced)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    return Handler
