"""HTTPS on the outside of a link, or on loopback: nginx before the S3 server."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.link import Link
from bench.link.s3 import host_of, outside
from hps.errors import EXIT_NO_DATA, HpsError
from tests.servers.nginx_tls import nginx_tls

PORT = 8443  # free: the outside is a namespace of the link's own


class NoTlsError(HpsError):
    """This machine lacks a program that HTTPS needs."""

    exit_code = EXIT_NO_DATA


@contextlib.contextmanager
def front(
    link: Link | None, upstream: str, folder: Path, *, http2: bool = True
) -> Iterator[tuple[str, Path]]:
    """Run nginx for a `with` block; yields its address, and the certificate to trust.

    It offers HTTP/2, unless `http2` is False, and HTTP/1.1. Raises `NoTlsError` where nginx or
    openssl is missing.
    """
    check()
    port = 0 if link is None else PORT
    with contextlib.ExitStack() as stack:
        with outside(link):  # nginx and its socket stay there
            running = stack.enter_context(
                nginx_tls(upstream, folder, host=host_of(link), port=port, http2=http2)
            )
        yield running.endpoint, running.ca_cert


def check() -> None:
    """Raises `NoTlsError` where nginx or openssl is missing."""
    for name in ("nginx", "openssl"):
        _check(name)


def _check(name: str) -> None:
    if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise NoTlsError(
            f"there is no {name} on this machine",
            "install it: what needs HTTPS is measured with it",
        )
