"""A forward proxy (`http_proxy`): a provider's own hosts end at one server, on loopback.

For tools that go to no other hosts. The server keeps buckets in paths, whatever the host. Google's
way to begin an upload, which servers that speak S3 do not have, is answered here. Signatures are
replaced, for they are made for other hosts: the server must take any.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from hps.prove.connection import IO_TIMEOUT_S, ProxiedConnection, drop
from hps.prove.front import Front, MendingConnection
from hps.prove.http_stream import copy_body
from hps.prove.proxy import RecordingProxy
from hps.prove.recorder import Exchange

_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?(?:storage\.googleapis\.com|s3[.-][a-z0-9.-]+)(?::\d+)?")
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_STARTED = "HTTP/1.1 201 Created\r\nLocation: http://{host}{path}?upload_id=1\r\nContent-Length: 0"
_NOTHING_YET = "HTTP/1.1 308 Resume Incomplete\r\nContent-Length: 0"
_SIGNED = "Authorization: AWS key:signature"
_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_TAKEN_AWAY = ("authorization", "host", "proxy-connection", "x-forwarded-host")
_MOST_OF_A_HEAD = 64 * 1024


class ForwardedConnection(ProxiedConnection):
    """Its requests are for hosts that the server does not have."""

    def _next_head(self) -> bytes:
        raw = super()._next_head()
        return with_bucket_in_path(raw) if raw else raw

    def _forward(self, exchange: Exchange) -> bool:
        head = exchange.head
        if head.headers.get("x-goog-resumable") == "start":
            host = head.headers["x-forwarded-host"]
            return self._answer_itself(exchange, 201, _STARTED.format(host=host, path=head.path))
        if "upload_id" in head.query:
            return self._answer_itself(exchange, 308, _NOTHING_YET)
        return super()._forward(exchange)

    def _answer_itself(self, exchange: Exchange, status: int, answer: str) -> bool:
        head = exchange.head
        copy_body(self._from_client, head.framing, head.length, drop, drop)
        self._client.sendall(f"{answer}\r\n\r\n".encode("latin-1"))
        exchange.status, exchange.complete = status, True
        return not head.closes


class ForwardProxy(RecordingProxy):
    """Speaks TLS, where it has a context for that, with clients that ask for a tunnel (CONNECT)."""

    connection: type[ProxiedConnection] = ForwardedConnection

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead programs through it, but for what is on this machine."""
        address = self.endpoint.replace("https:", "http:")
        return dict.fromkeys(_VARIABLES, address) | dict.fromkeys(
            ("no_proxy", "NO_PROXY"), self.host
        )

    def _wrapped(self, client: socket.socket) -> socket.socket:
        client.settimeout(IO_TIMEOUT_S)
        if not client.recv(8, socket.MSG_PEEK).startswith(b"CONNECT "):
            return client
        _read_head(client)
        client.sendall(_ESTABLISHED)
        return super()._wrapped(client)


class _MendedConnection(MendingConnection, ForwardedConnection):
    """The same before a server that is no full S3."""


class ForwardFront(ForwardProxy, Front):
    """A forward proxy before a server that is no full S3."""

    connection = _MendedConnection


def with_bucket_in_path(raw: bytes) -> bytes:
    """The head of a request as a server of its own takes it: the bucket in the path, not the host.

    The rest of an upload that Google's servers began is a plain PUT; a question how far it has come
    stays one.
    """
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ", 2)
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
    }
    url, host = urlsplit(target), headers.get("host", "")
    found = _HOST.fullmatch(host)
    path = f"/{found['bucket']}{url.path}" if found and found["bucket"] else url.path
    away, query = set(_TAKEN_AWAY), url.query
    is_rest = query.startswith("upload_id=") and not _asks_how_far(headers)
    if is_rest:
        away, query = away | {"content-range"}, ""
    kept = [line for line in lines if line.partition(":")[0].lower() not in away]
    begin = f"{method} {path}{'?' if query else ''}{query} {version}"
    whose = ["Host: localhost", f"X-Forwarded-Host: {host}"]
    # The address of an upload that was begun is all the right that its rest needs.
    whose += [_SIGNED] if is_rest or "authorization" in headers else []
    return "\r\n".join([begin, *whose, *kept, "", ""]).encode("latin-1")


def _asks_how_far(headers: Mapping[str, str]) -> bool:
    return headers.get("content-range", "").startswith("bytes */")


def _read_head(client: socket.socket) -> None:
    """Byte by byte: what comes after it is TLS. Raises `OSError`."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        if not piece or len(head) > _MOST_OF_A_HEAD:
            raise ConnectionError("no end of a head")
        head += piece
