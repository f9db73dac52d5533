"""The recording proxy of `hps.prove`, and the faults that tests make it play."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hps.prove import proxy
from hps.prove.http_head import RequestHead
from hps.prove.recorder import SeenRequest as Request
from hps.prove.recorder import connections, data_requests, peak_in_flight
from tests.servers.certificate import Certificate
from tests.servers.faults import Action, Rule
from tests.servers.proxied_connection import FaultyConnection

__all__ = [
    "RecordingProxy",
    "Request",
    "Rule",
    "connections",
    "data_requests",
    "peak_in_flight",
]

_JOIN_TIMEOUT_S = 10.0


class RecordingProxy(proxy.RecordingProxy):
    """The first of `rules` that matches a request decides its fault; they may be changed.

    With `tls` it speaks TLS on both sides, by that certificate, and trusts it.
    """

    connection = FaultyConnection

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        host: str = "127.0.0.1",
        min_data_s: float = 0.0,
        gather: int = 0,
        rules: Iterable[Rule] = (),
        tls: Certificate | None = None,
    ) -> None:
        super().__init__(
            upstream_host,
            upstream_port,
            host=host,
            min_data_s=min_data_s,
            gather=gather,
            tls=_context(tls) if tls else None,
        )
        self.rules = list(rules)
        self._trusted = tls

    def reach(self) -> socket.socket:
        plain = super().reach()
        if self._trusted is None:
            return plain
        context = ssl.create_default_context(cafile=self._trusted.cert)
        return context.wrap_socket(plain, server_hostname="localhost")

    def fault_for(self, head: RequestHead) -> Action | None:
        """The action that befalls this request."""
        with self._lock:
            taken = (rule.action for rule in self.rules if rule.takes(head))
            return next(taken, None)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """For the length of a `with` block, the port refuses connections, as no server would.

        Those that are open end at once.
        """
        address = self._listener.getsockname()
        self._open_to_all.clear()
        self._acceptor.join(_JOIN_TIMEOUT_S)  # it closes the listener
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._end_connections()
        try:
            yield
        finally:
            self._listen()


def _context(tls: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert, tls.key)
    return context
