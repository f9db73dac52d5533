"""Where tools are tried: `rclone serve s3`, a front that answers as S3 does, and TLS before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.link import Link, LinkSettings
from bench.link.s3 import host_of, outside, serve_s3
from bench.node_run import target_yaml
from bench.settings import tls
from bench.tools.front import Front, rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server as `hps` sees it: its line in an experiment, and the variables that this names."""

    target: str
    env: Mapping[str, str]
    link: Link | None

    def kernel_drops(self) -> int:
        """Packets that were lost before the link saw them; anything but 0 spoils a measurement."""
        if self.link is None:
            return 0
        counters = self.link.counters()
        return counters.up.kernel_drops + counters.down.kernel_drops


@contextmanager
def open_place(settings: LinkSettings | None, folder: Path, *, unkind: bool) -> Iterator[Place]:
    """All of it for a `with` block; `settings` None: loopback, `unkind`: 503 now and then.

    Raises `NoLinkError` where no link can be made here, `NoTlsError` where nginx is missing.
    """
    tls.check()
    with ExitStack() as stack:
        link = None if settings is None else stack.enter_context(Link(settings))
        env = stack.enter_context(serve_s3(link))
        server = urlsplit(env["CLOUDFLARE_ENDPOINT_URL"])
        front = Front(
            server.hostname or "",
            server.port or 80,
            host=host_of(link),
            rules=rules(unkind=unkind),
        )
        with outside(link):  # the proxy's threads and sockets stay there
            stack.enter_context(front)
        # Amazon's S3 speaks no HTTP/2 either.
        endpoint, ca_cert = stack.enter_context(
            tls.front(link, front.endpoint, folder / "tls", http2=False)
        )
        yield Place(target=target_yaml("s3", endpoint, ca_cert), env=env, link=link)
