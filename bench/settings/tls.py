"""HTTPS on the outside of a link: nginx before the S3 server, offering HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.link import Link
from hps.errors import EXIT_NO_DATA, HpsError
from tests.servers.nginx_tls import nginx_tls

PORT = 8443  # free: the outside is a namespace of the link's own


class NoTlsError(HpsError):
    """This machine lacks a program that HTTPS needs."""

    exit_code = EXIT_NO_DATA


@contextlib.contextmanager
def front(link: Link, upstream: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run nginx for a `with` block; yields its address, and the certificate to trust.

    Raises `NoTlsError` where nginx or openssl is missing.
    """
    for name in ("nginx", "openssl"):
        _check(name)
    with contextlib.ExitStack() as stack:
        with link.outside():  # nginx and its socket stay there
            running = stack.enter_context(nginx_tls(upstream, folder, host=link.host, port=PORT))
        yield running.endpoint, running.ca_cert


def _check(name: str) -> None:
    if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        raise NoTlsError(f"there is no {name} on this machine", "HTTP/2 is measured with it")
