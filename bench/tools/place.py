"""Where tools are tried: a real S3 server, behind a proxy that records, over a link or loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.link import Link, LinkSettings
from bench.link.s3 import serve_s3
from bench.tools.front import Front
from hps.model import Target
from hps.process import process
from hps.targets import embedded
from hps.tools.rclone import command
from tests.servers.s3_server import S3Server

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server as tools see it, and what sees the tools. `link` is None on loopback."""

    server: S3Server
    front: Front
    link: Link | None

    def inside(self) -> AbstractContextManager[None]:
        """A `with` block in which processes that are started have the server in reach."""
        return nullcontext() if self.link is None else self.link.inside()

    def kernel_drops(self) -> int:
        """Packets that were lost before the link saw them; anything but 0 spoils a measurement."""
        if self.link is None:
            return 0
        counters = self.link.counters()
        return counters.up.kernel_drops + counters.down.kernel_drops


@contextmanager
def open_place(
    settings: LinkSettings | None, folder: Path, guard: process.Guard
) -> Iterator[Place]:
    """Server, proxy and link for a `with` block; `settings` None: loopback.

    Raises `NoLinkError` where no link can be made here, `HpsError` where the server can't start.
    """
    if settings is None:
        with _on_loopback(folder, guard) as place:
            yield place
    else:
        with _over_link(settings) as place:
            yield place


@contextmanager
def _on_loopback(folder: Path, guard: process.Guard) -> Iterator[Place]:
    keys, target = embedded.new_keys(), Target(name="local", provider="embedded")
    binary = command.find_binary(os.environ)
    with (
        embedded.serve(target, folder / "served", binary, keys, guard) as served,
        _front(served.endpoint or "", _LOOPBACK) as front,
    ):
        key_id, secret = keys[embedded.KEY_ID_ENV], keys[embedded.SECRET_ENV]
        yield Place(server=_server(front, target.bucket, key_id, secret), front=front, link=None)


@contextmanager
def _over_link(settings: LinkSettings) -> Iterator[Place]:
    with ExitStack() as stack:
        link = stack.enter_context(Link(settings))
        env = stack.enter_context(serve_s3(link))
        with link.outside():  # the proxy's threads and sockets stay there
            front = stack.enter_context(_front(env["CLOUDFLARE_ENDPOINT_URL"], link.host))
        server = _server(front, env["BUCKET"], env["CLOUDFLARE_ID"], env["CLOUDFLARE_KEY"])
        yield Place(server=server, front=front, link=link)


def _front(upstream: str, host: str) -> Front:
    address = urlsplit(upstream)
    return Front(address.hostname or "", address.port or 80, host=host)


def _server(front: Front, bucket: str, key_id: str, secret: str) -> S3Server:
    return S3Server(
        endpoint=front.endpoint,
        access_key_id=key_id,
        secret_access_key=secret,
        bucket=bucket,
        provider="Rclone",
    )
