"""Does an endpoint offer HTTP/2? A TLS handshake tells (ALPN); no request is sent."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from hps.catalog.providers import address_of
from hps.model import Operation, Target
from hps.node.proxy import proxy_for

_TIMEOUT_S = 5.0


def offers_http2(endpoint: str | None) -> bool | None:
    """True where the endpoint would speak HTTP/2; without TLS it would not; None: no answer.

    Behind a proxy it is not asked, for this would go past it.
    """
    address = urlsplit(endpoint or "")
    if address.scheme != "https" or address.hostname is None:
        return False
    if proxy_for(address.geturl(), os.environ):
        return None
    context = ssl.create_default_context()
    # Only the offer is read and nothing is sent: the tool itself checks the certificate.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((address.hostname, address.port or 443), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address.hostname) as secured,
        ):
            return secured.selected_alpn_protocol() == "h2"
    except OSError:
        return None


def wanted_of(
    operations: Iterable[Operation], targets: Mapping[str, Target]
) -> dict[str, bool | None]:
    """What each target offers; asked only of those that an operation wants HTTP/2 from."""
    wanted = {
        operation.cell.knobs.target
        for operation in operations
        if operation.requested is not None and operation.requested.http2
    }
    return {
        name: offers_http2(address_of(target)) if name in wanted else False
        for name, target in targets.items()
    }
