"""A buffered reader of HTTP/1.1 over a socket, which passes bodies on without holding them."""

from __future__ import annotations

import socket
from collections.abc import Callable

from hps.prove.http_head import Framing

BUFFER_BYTES = 1024**2

Sink = Callable[[memoryview], None]


class ByteStream:
    """Heads are read whole, bodies piece by piece through one buffer that is used again."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0

    @property
    def buffered(self) -> int:
        """How many bytes have been received and not yet been read."""
        return self._end - self._start

    def read_until(self, mark: bytes) -> bytes:
        """The bytes up to and with `mark`; empty where the peer has closed the connection.

        Raises `ConnectionError` where it closed in the middle, or `mark` does not come.
        """
        while (found := self._buffer.find(mark, self._start, self._end)) < 0:
            if not self._receive_more():
                if self.buffered:
                    raise ConnectionError("closed in the middle of a head")
                return b""
        return bytes(self._cut(found + len(mark) - self._start))

    def copy(self, count: int, sink: Sink) -> None:
        """Hand exactly `count` bytes to `sink`. Raises `ConnectionError` where they do not come."""
        while count:
            piece = self._next_piece(count)
            if not piece:
                raise ConnectionError("closed in the middle of a body")
            sink(piece)
            count -= len(piece)

    def copy_to_end(self, sink: Sink) -> None:
        """Hand everything to `sink` until the peer closes the connection."""
        while piece := self._next_piece(BUFFER_BYTES):
            sink(piece)

    def _next_piece(self, limit: int) -> memoryview:
        if not self.buffered:
            self._start = 0
            self._end = self._connection.recv_into(self._view)
        return self._cut(min(limit, self.buffered))

    def _cut(self, count: int) -> memoryview:
        piece = self._view[self._start : self._start + count]
        self._start += count
        return piece

    def _receive_more(self) -> bool:
        """Add to what is buffered; False where the peer has closed the connection."""
        count = self.buffered
        if count == BUFFER_BYTES:
            raise ConnectionError(f"a head of more than {BUFFER_BYTES} bytes")
        self._view[:count] = self._view[self._start : self._end]
        self._start, self._end = 0, count
        received = self._connection.recv_into(self._view[count:])
        self._end += received
        return received > 0


def copy_body(
    source: ByteStream,
    framing: Framing,
    length: int,
    payload: Sink,
    frame: Callable[[bytes], object],
    before_last: Callable[[], None] = lambda: None,
) -> None:
    """Pass a body on: its bytes to `payload`, what delimits chunks to `frame`.

    `before_last` is called before the last byte is passed on (for `to_end`: after it).
    """
    if framing == "length" and length:
        source.copy(length - 1, payload)
        before_last()
        source.copy(1, payload)
    elif framing == "chunked":
        _copy_chunks(source, payload, frame, before_last)
    elif framing == "to_end":
        source.copy_to_end(payload)
        before_last()


def _copy_chunks(
    source: ByteStream,
    payload: Sink,
    frame: Callable[[bytes], object],
    before_last: Callable[[], None],
) -> None:
    while size := int((line := source.read_until(b"\r\n")).partition(b";")[0], 16):
        frame(line)
        source.copy(size, payload)
        frame(source.read_until(b"\r\n"))
    end = line
    while line != b"\r\n":
        line = source.read_until(b"\r\n")
        end += line
    before_last()
    frame(end)
