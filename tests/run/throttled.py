"""A slow link: a TCP forwarder that lets so many bits a second pass, all connections together."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_PIECE_BYTES = 4096
# Small buffers, or the kernel would take megabytes before the link is felt.
_BUFFER_BYTES = 32 * 1024


class _Pace:
    """One direction: everybody waits for their turn."""

    def __init__(self, mbps: float) -> None:
        self._bytes_per_s = mbps * 1e6 / 8
        self._lock = threading.Lock()
        self._free_s = 0.0

    def pass_through(self, count: int) -> None:
        with self._lock:
            now_s = time.monotonic()
            self._free_s = max(now_s, self._free_s) + count / self._bytes_per_s
            wait_s = self._free_s - now_s
        time.sleep(wait_s)


@contextmanager
def throttled(endpoint: str, *, up_mbps: float, down_mbps: float) -> Iterator[str]:
    """An address in front of `endpoint`, for as long as the context is open."""
    address = urlsplit(endpoint)
    server = (address.hostname or "", address.port or 80)
    up, down = _Pace(up_mbps), _Pace(down_mbps)
    sockets: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        upstream = _small_buffers(socket.socket())
        sockets.extend((client, upstream))
        with client, upstream, suppress(OSError):
            upstream.connect(server)
            back = threading.Thread(target=_copy, args=(upstream, client, down), daemon=True)
            back.start()
            _copy(client, upstream, up)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with _small_buffers(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for opened in [listener, *sockets]:
                with suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)


def _small_buffers(opened: socket.socket) -> socket.socket:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    # The segments of loopback are as large as all of these buffers together.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    return opened


def _copy(source: socket.socket, sink: socket.socket, pace: _Pace) -> None:
    """Until either side is done; then both are told."""
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            pace.pass_through(len(piece))
            sink.sendall(piece)
    for opened in (source, sink):
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
