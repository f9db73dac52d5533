"""Whether an endpoint offers HTTP/2, by a TLS handshake (ALPN); no request is sent."""

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
    """True where the endpoint offers HTTP/2; False without TLS; None where it did not answer.

    None behind a proxy, too: the handshake would bypass it.
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


def check_offers(
    operations: Iterable[Operation], targets: Mapping[str, Target]
) -> dict[str, bool | None]:
    """What each target offers, by name; False, unasked, where no operation wants HTTP/2."""
    wanted = {
        operation.cell.knobs.target
        for operation in operations
        if operation.effective is not None and operation.effective.http2
    }
    return {
        name: offers_http2(address_of(target)) if name in wanted else False
        for name, target in targets.items()
    }
