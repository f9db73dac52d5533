"""An HTTP/1.1 reverse proxy that records what really goes over the wire to an S3 server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType

from tests.servers.faults import Action, Rule
from tests.servers.http_head import RequestHead
from tests.servers.proxied_connection import IO_TIMEOUT_S, ProxiedConnection
from tests.servers.recorder import (
    SETTLE_S,
    Recorder,
    Request,
    connections,
    data_requests,
    peak_in_flight,
)

__all__ = [
    "RecordingProxy",
    "Request",
    "Rule",
    "connections",
    "data_requests",
    "peak_in_flight",
]

_ACCEPT_POLL_S = 0.2
_JOIN_TIMEOUT_S = 10.0


class RecordingProxy:
    """A proxy for as long as the context is open; heads and bodies pass through unchanged.

    Each client connection has a thread and one upstream connection. A data request (an object's
    bytes, either way) is answered no faster than `min_data_s` seconds after its head was read, so
    that requests that a client has in flight at once are seen to overlap. `gather` does so without
    a guess at how fast machines are: until that many data requests have been in flight at once
    since the last `clear`, none is answered in full (but for a time-out of 30 s). The first of
    `rules` that matches a request decides its fault. All three may be changed at any time.
    """

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        min_data_s: float = 0.0,
        gather: int = 0,
        rules: Iterable[Rule] = (),
    ) -> None:
        self.min_data_s = min_data_s
        self.gather = gather
        self.rules = list(rules)
        self.recorder = Recorder()
        self.stopping = threading.Event()
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> RecordingProxy:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(_ACCEPT_POLL_S)
        self._acceptor = self._start(self._accept, self._listener)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self.stopping.set()
            for connection in self._open:
                # Its peer may have gone already; the thread that owns it closes it either way.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.recorder.release()
        self._acceptor.join(_JOIN_TIMEOUT_S)
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
        if any(map(threading.Thread.is_alive, self._threads)):
            raise RuntimeError("a connection of the proxy did not end in time")

    @property
    def endpoint(self) -> str:
        """The address to give to a client in place of the server's."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def requests(self, settle_s: float = SETTLE_S) -> tuple[Request, ...]:
        """Every request so far; see `Recorder.requests`."""
        return self.recorder.requests(settle_s)

    def clear(self) -> None:
        """Forget the requests that are over."""
        self.recorder.clear()

    def fault_for(self, head: RequestHead) -> Action | None:
        """The action that befalls this request."""
        with self._lock:
            taken = (rule.action for rule in self.rules if rule.takes(head))
            return next(taken, None)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self.stopping.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(client)
            try:
                upstream = stack.enter_context(socket.create_connection(self._upstream, 10.0))
                stack.enter_context(self._tracked(client, upstream))
                connection = ProxiedConnection(client, upstream, self)
            except OSError:
                # No server, or a client that has gone: closing the connection says it.
                return
            connection.serve()

    @contextmanager
    def _tracked(self, *connections: socket.socket) -> Iterator[None]:
        """The connections are ready for traffic, and end when the proxy stops."""
        for connection in connections:
            connection.settimeout(IO_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            if self.stopping.is_set():
                raise ConnectionAbortedError("the proxy stops")
            self._open.update(connections)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(connections)

    def _start(
        self, work: Callable[[socket.socket], None], connection: socket.socket
    ) -> threading.Thread:
        thread = threading.Thread(target=work, args=(connection,), daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()
        return thread
