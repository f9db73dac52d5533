"""An HTTP/1.1 reverse proxy that records what really goes over the wire to an S3 server."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from hps.prove.connection import IO_TIMEOUT_S, ProxiedConnection
from hps.prove.recorder import SETTLE_S, RequestRecorder, SeenRequest

_ACCEPT_POLL_S = 0.2
_BACKLOG = 128
_JOIN_TIMEOUT_S = 10.0


class RecordingProxy:
    """A proxy for as long as the context is open; heads and bodies pass through unchanged.

    Each client connection has a thread and one upstream connection. A data request (an object's
    bytes, either way) is answered no faster than `min_data_s` seconds after its head was read, so
    that requests that a client has in flight at once are seen to overlap. `gather` does so without
    a guess at how fast machines are: until that many data requests have been in flight at once
    since the last `clear`, none is answered in full (but for a time-out of 30 s). Both may be
    changed at any time. It listens on `host`, an address of this machine; with `tls` it speaks TLS
    with clients. A client that agrees on HTTP/2 there is not served, and `refused_http2` is set.
    """

    connection: type[ProxiedConnection] = ProxiedConnection

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        host: str = "127.0.0.1",
        min_data_s: float = 0.0,
        gather: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.min_data_s = min_data_s
        self.gather = gather
        self.recorder = RequestRecorder()
        self.stopping = threading.Event()
        self.refused_http2 = False
        self._tls = tls
        self._open_to_all = threading.Event()
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, 0))
        self._listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._end_connections()
        self.recorder.release()
        self._acceptor.join(_JOIN_TIMEOUT_S)
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
        if any(map(threading.Thread.is_alive, self._threads)):
            raise RuntimeError("a connection of the proxy did not end in time")

    @property
    def endpoint(self) -> str:
        """The address to give to a client in place of the server's."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{self.host}:{self._listener.getsockname()[1]}"

    def requests(self, settle_s: float = SETTLE_S) -> tuple[SeenRequest, ...]:
        """Every request so far; see `RequestRecorder.requests`."""
        return self.recorder.requests(settle_s)

    def clear(self) -> None:
        """Forget the requests that are over."""
        self.recorder.clear()

    def reach(self) -> socket.socket:
        """A connection to the server. Raises `OSError`."""
        return socket.create_connection(self._upstream, 10.0)

    def _listen(self) -> None:
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(_ACCEPT_POLL_S)
        self._open_to_all.set()
        self._acceptor = self._start(self._accept, self._listener)

    def _end_connections(self) -> None:
        with self._lock:
            for connection in self._open:
                # Its peer may have gone already; the thread that owns it closes it either way, and
                # its TLS with it, which must not be taken from that thread here.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while self._open_to_all.is_set() and not self.stopping.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            try:
                client = stack.enter_context(self._wrapped(client))
                upstream = stack.enter_context(self.reach())
                stack.enter_context(self._tracked(client, upstream))
                if not self._agrees(client):
                    return
                connection = self.connection(client, upstream, self)
            except OSError:
                # No server, or a client that has gone: closing the connection says it.
                return
            connection.serve()

    def _wrapped(self, client: socket.socket) -> socket.socket:
        if self._tls is None:
            return client
        return self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)

    def _agrees(self, client: socket.socket) -> bool:
        """Shake hands where it speaks TLS; False where the client has chosen HTTP/2."""
        if not isinstance(client, ssl.SSLSocket):
            return True
        client.do_handshake()
        if client.selected_alpn_protocol() == "h2":
            self.refused_http2 = True
            return False
        return True

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
