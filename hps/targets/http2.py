"""Does an endpoint offer HTTP/2? A TLS handshake tells (ALPN); no request is sent."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


def offers_http2(endpoint: str | None) -> bool | None:
    """True where the endpoint would speak HTTP/2; without TLS it would not; None: no answer."""
    address = urlsplit(endpoint or "")
    if address.scheme != "https" or address.hostname is None:
        return False
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
