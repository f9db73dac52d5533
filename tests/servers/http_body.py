"""Bodies of HTTP/1.1, passed on piece by piece, however they are delimited."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.byte_stream import ByteStream, Sink
from tests.servers.http_head import Framing


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
