"""A forward proxy in front of a server, which plays faults: for tools that know but few hosts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hps.prove.forward import ForwardedConnection, ForwardProxy
from hps.prove.proxy import RecordingProxy as PlainProxy
from tests.command import target_text
from tests.servers.certificate import Certificate, make_certificate
from tests.servers.proxied_connection import FaultyConnection
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server

OwnHost = Literal["gcs", "aws"]
_HOSTS: Mapping[OwnHost, str] = {
    "gcs": "storage.googleapis.com",
    "aws": "s3.eu-west-1.amazonaws.com",
}


class _Connection(FaultyConnection, ForwardedConnection):
    """Faults befall requests as the server sees them."""


class FaultyForwardProxy(ForwardProxy, RecordingProxy):
    """To its clients it speaks TLS where they ask for it, to the server never."""

    connection: type[_Connection] = _Connection

    def reach(self) -> socket.socket:
        """Without TLS."""
        return PlainProxy.reach(self)


def certificate_of_hosts(folder: Path) -> Certificate:
    """Of all hosts that are reached through such a proxy. Skips where there is no openssl."""
    names = [name for host in _HOSTS.values() for name in (host, f"*.{host}")]
    return make_certificate(folder, others=tuple(names))


def own_host_targets(
    provider: OwnHost, scheme: str, server: S3Server, ca_cert: Path | None = None
) -> str:
    """`targets` and `results` of a spec: only data goes to the provider's host."""
    data = target_text("s3", f"{scheme}://{_HOSTS[provider]}", server.bucket, ca_cert=ca_cert)
    data = data.replace("provider: other", f"provider: {provider}")
    data = data.replace("    force_path_style: true\n", "")
    store = target_text("store", server.endpoint, server.bucket, ca_cert=server.ca_cert)
    return f"targets:\n{data}\n{store}\nresults: {{target: store}}\n"
