"""A server that refuses whatever it is asked, and repeats all that it was told with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

from tests.secrets.planted import Planted


@dataclass(slots=True, kw_only=True)
class Echo:
    """A running server; `asked` are the paths of the requests so far, in order."""

    endpoint: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve_echo(planted: Planted) -> Iterator[Echo]:
    """Refuse on loopback while the context is open, with every secret in every spelling."""
    echo = Echo(endpoint="")
    told = " ".join(spelled for _, spelled in planted.spellings())
    handler = partial(_Handler, echo.asked, told, planted.values[0])
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    echo.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield echo
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers with `told`, and with `phrase` as the text of its status."""

    protocol_version = "HTTP/1.1"

    def __init__(self, asked: list[str], told: str, phrase: str, *connection: Any) -> None:
        self._asked = asked
        self._told = told
        self._phrase = phrase
        super().__init__(*connection)

    def _refuse(self) -> None:
        self._asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/v1/"):
            self._as_metadata_service()
            return
        heard = " ".join(f"{name}: {value}" for name, value in self.headers.items())
        text = escape(f"{heard} {self._told}")
        body = f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>".encode()
        self._send(403, body, "application/xml")

    def _as_metadata_service(self) -> None:
        """It is there, and otherwise fails."""
        if self.path == "/v1/status":
            self._send(200, b'{"ready": true, "started": true}', "application/json")
        else:
            body = json.dumps({"code": "failed", "detail": self._told}).encode()
            self._send(500, body, "application/problem+json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status, "OK" if status == 200 else self._phrase)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Nothing is there, so that it is uploaded."""
        self._asked.append(self.path)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 - names of the library

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""
