"""A stand-in for Microsoft Entra ID, which gives a service principal its tokens, over TLS.

A token is a JSON Web Token without a true signature: Azurite looks at its dates, its issuer and its
audience, and at nothing else. What the stand-in is asked is checked: the client and its secret.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import parse_qs
from uuid import uuid4

from tests.servers.certificate import make_certificate

# Where a service principal gets its tokens, unless told otherwise.
MICROSOFT = "login.microsoftonline.com"
_ISSUER = "https://sts.windows.net/"
_AUDIENCE = "https://storage.azure.com"
_HOUR_S = 3600
_SECRET_IS_WRONG = "AADSTS7000215: Invalid client secret provided. Trace ID: 0"
_MOST_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A running stand-in. `given` has each token, in order."""

    address: str
    proxy: str
    ca_cert: Path
    tenant_id: str = field(default_factory=lambda: str(uuid4()))
    client_id: str = field(default_factory=lambda: str(uuid4()))
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)
    given: list[str] = field(default_factory=list, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the specs of these tests name its credentials by."""
        return {
            "TEST_TENANT": self.tenant_id,
            "TEST_CLIENT": self.client_id,
            "TEST_CLIENT_SECRET": self.client_secret,
        }

    @property
    def credentials(self) -> str:
        """The lines of a target, after four blanks, that name its credentials."""
        return """\
tenant_id: {env: TEST_TENANT}
    client_id: {env: TEST_CLIENT}
    client_secret: {env: TEST_CLIENT_SECRET}"""

    def answer(self, host: str, path: str, body: str) -> tuple[int, object]:
        """The answer to a request: what the authority is, by the name asked for; or a token."""
        place = f"https://{host}/{self.tenant_id}"
        if "openid-configuration" in path:
            return 200, {
                "authorization_endpoint": f"{place}/oauth2/v2.0/authorize",
                "token_endpoint": f"{place}/oauth2/v2.0/token",
                "issuer": f"{place}/v2.0",
            }
        if "discovery/instance" in path:
            found = f"{place}/v2.0/.well-known/openid-configuration"
            return 200, {"tenant_discovery_endpoint": found, "metadata": []}
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        right = (self.client_id, self.client_secret)
        if (asked.get("client_id"), asked.get("client_secret")) != right:
            return 401, {"error": "invalid_client", "error_description": _SECRET_IS_WRONG}
        self.given.append(_token())
        return 200, {
            "token_type": "Bearer",
            "expires_in": _HOUR_S,
            "ext_expires_in": _HOUR_S,
            "access_token": self.given[-1],
        }


@contextmanager
def serve_authority(folder: Path, trusted: Path) -> Iterator[Authority]:
    """Run a stand-in on loopback; its `ca_cert` also has what `trusted` has, for a target has one.

    It has Microsoft's name. Who asks for that by the proxy `Authority.proxy` comes to it.
    """
    made = make_certificate(folder, name=MICROSOFT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.cert, made.key)
    both = folder / "trusted.pem"
    both.write_text(made.cert.read_text() + trusted.read_text())
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server,
        ThreadingTCPServer(("127.0.0.1", 0), _Tunnel) as tunnel,
    ):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        authority = Authority(
            address=f"https://127.0.0.1:{server.server_port}",
            proxy=f"http://127.0.0.1:{tunnel.server_address[1]}",
            ca_cert=both,
        )
        _Handler.authority, _Tunnel.port = authority, server.server_port
        threads = [
            threading.Thread(target=one.serve_forever, daemon=True) for one in (server, tunnel)
        ]
        for thread in threads:
            thread.start()
        try:
            yield authority
        finally:
            for one in (server, tunnel):
                one.shutdown()
            for thread in threads:
                thread.join(timeout=5)


class _Tunnel(StreamRequestHandler):
    """Answers CONNECT to Microsoft's name, and to nothing else, with a way to the stand-in."""

    timeout = 10
    port: int

    def handle(self) -> None:
        first = self.rfile.readline(_MOST_BODY_BYTES)
        while self.rfile.readline(_MOST_BODY_BYTES).strip():
            pass
        if not first.startswith(f"CONNECT {MICROSOFT}:443 ".encode()):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.port), 10) as onward:
            back = threading.Thread(target=_relay, args=(onward, self.connection), daemon=True)
            back.start()
            _relay(self.connection, onward)
            back.join(timeout=10)


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_MOST_BODY_BYTES):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    authority: Authority

    def _answer(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BODY_BYTES)
        body = self.rfile.read(length).decode()
        status, answer = self.authority.answer(self.headers["Host"], self.path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 - names of the library

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def _token() -> str:
    now = int(time.time())
    claims = {"aud": _AUDIENCE, "iss": _ISSUER, "iat": now - 60, "nbf": now - 60}
    parts = ({"alg": "none", "typ": "JWT"}, {**claims, "exp": now + _HOUR_S})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return f"{head.rstrip('=')}.{body.rstrip('=')}.{secrets.token_urlsafe(24)}"
