"""The outside of a link: a real S3 server, and before it a proxy that records every request."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.link import Link
from bench.link.s3 import serve_s3
from tests.servers.proxy import RecordingProxy

_BACKLOG = 128
_ACCEPT_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """`env` is what experiments name the server by; `endpoint` is the proxy's address."""

    endpoint: str
    env: Mapping[str, str]
    proxy: RecordingProxy


class OutsideProxy(RecordingProxy):
    """A recording proxy that listens on an address of its own choice, not on loopback."""

    def __init__(self, upstream: str, host: str) -> None:
        address = urlsplit(upstream)
        super().__init__(address.hostname or "", address.port or 80)
        self._host = host

    def __enter__(self) -> OutsideProxy:
        self._listener = socket.create_server((self._host, 0), backlog=_BACKLOG)
        self._listener.settimeout(_ACCEPT_POLL_S)
        self._acceptor = self._start(self._accept, self._listener)
        return self

    @property
    def endpoint(self) -> str:
        """The address to give to a client in place of the server's."""
        return f"http://{self._host}:{self._listener.getsockname()[1]}"


@contextlib.contextmanager
def serve(link: Link) -> Iterator[Outside]:
    """Server and proxy for a `with` block, both in the link's outer namespace."""
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(serve_s3(link))
        proxy = OutsideProxy(env["CLOUDFLARE_ENDPOINT_URL"], link.host)
        with link.outside():  # its threads and their sockets stay there
            stack.enter_context(proxy)
        yield Outside(endpoint=proxy.endpoint, env=env, proxy=proxy)
