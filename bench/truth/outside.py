"""The outside of a link: a real S3 server, and before it a proxy that records every request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.link import Link
from bench.link.s3 import serve_s3
from tests.servers.proxy import RecordingProxy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """`env` is what experiments name the server by; `endpoint` is the proxy's address."""

    endpoint: str
    env: Mapping[str, str]
    proxy: RecordingProxy


@contextlib.contextmanager
def serve(link: Link) -> Iterator[Outside]:
    """Server and proxy for a `with` block, both in the link's outer namespace."""
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(serve_s3(link))
        address = urlsplit(env["CLOUDFLARE_ENDPOINT_URL"])
        proxy = RecordingProxy(address.hostname or "", address.port or 80, host=link.host)
        with link.outside():  # its threads and their sockets stay there
            stack.enter_context(proxy)
        yield Outside(endpoint=proxy.endpoint, env=env, proxy=proxy)
