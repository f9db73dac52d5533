"""What a fault does to the bytes of a payload on their way: a sink in front of the true one."""

from __future__ import annotations

from collections.abc import Callable

from hps.prove.http_stream import Sink
from tests.servers.faults import Change, Drip, Flip, Truncate


def changed(
    sink: Sink, change: Change | None, pause: Callable[[float], object], end: Callable[[], None]
) -> Sink:
    """The sink, or one that changes what goes into it.

    `pause` waits some seconds; `end` ends the connection by raising.
    """
    match change:
        case Truncate():
            return _truncated(sink, change.after_bytes, end)
        case Flip():
            return _flipped(sink, change.at)
        case Drip():
            return _dripping(sink, change, pause)
        case None:
            return sink


def _truncated(sink: Sink, after_bytes: int, end: Callable[[], None]) -> Sink:
    left = after_bytes

    def limited(piece: memoryview) -> None:
        nonlocal left
        sink(piece[:left])
        left -= min(left, len(piece))
        if not left:
            end()

    return limited


def _flipped(sink: Sink, at: int) -> Sink:
    seen = 0

    def flipping(piece: memoryview) -> None:
        nonlocal seen
        if seen <= at < seen + len(piece):
            other = bytearray(piece)
            other[at - seen] ^= 0xFF
            piece = memoryview(other)
        seen += len(piece)
        sink(piece)

    return flipping


def _dripping(sink: Sink, drip: Drip, pause: Callable[[float], object]) -> Sink:
    seen = 0

    def slow(piece: memoryview) -> None:
        nonlocal seen
        swift = max(0, min(len(piece), drip.after_bytes - seen))
        seen += len(piece)
        if swift:
            sink(piece[:swift])
        for place in range(swift, len(piece)):
            pause(drip.seconds)
            sink(piece[place : place + 1])

    return slow
