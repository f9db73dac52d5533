"""What a tool did on the wire, against what it was told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from bench.grid import MIB
from bench.link.settings import Way
from bench.tools.tool import Terms
from tests.servers.recorder import Request, connections, data_requests, peak_in_flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The requests that carried an object's bytes one way.

    `chunk_bytes` is the size of all parts or ranges but the last, 0 where they differ. `again`
    counts the requests beyond one for each: they failed, or were given up and sent again.
    """

    chunks: int
    chunk_bytes: int
    bytes: int
    in_flight: int
    connections: int
    again: int

    @property
    def text(self) -> str:
        """`16 x 10 MiB, 10 at once`."""
        size = f"{self.chunk_bytes / MIB:.4g} MiB" if self.chunk_bytes else "several sizes"
        return f"{self.chunks} x {size}, {self.in_flight} at once"


def see(requests: Sequence[Request], way: Way, key: str) -> Seen:
    """What was recorded of one object."""
    data = [request for request in data_requests(requests, way) if request.key == key]
    good = {
        _place(request): request.body_bytes
        for request in data
        if request.complete and (request.status or 0) < 300
    }
    sizes = [good[place] for place in sorted(good)]
    alike = set(sizes[:-1]) or set(sizes)
    return Seen(
        chunks=len(sizes),
        chunk_bytes=alike.pop() if len(alike) == 1 else 0,
        bytes=sum(sizes),
        in_flight=peak_in_flight(data),
        connections=connections(data),
        again=len(data) - len(good),
    )


def expected(terms: Terms, size_bytes: int) -> Seen:
    """What a tool does that follows its terms to the letter."""
    chunks = ceil(size_bytes / terms.chunk_bytes)
    in_flight = min(terms.concurrency, chunks)
    return Seen(
        chunks=chunks,
        chunk_bytes=min(terms.chunk_bytes, size_bytes),
        bytes=size_bytes,
        in_flight=in_flight,
        connections=in_flight,
        again=0,
    )


def differences(seen: Seen, told: Seen, *, gathered: bool) -> Iterator[str]:
    """What is not as it was told; nothing where all is.

    Fewer chunks may be in flight than allowed, where they end sooner than the next one begins;
    not so where they were `gathered`. A spare connection or two is none of the terms.
    """
    if (seen.chunks, seen.chunk_bytes) != (told.chunks, told.chunk_bytes):
        yield f"{seen.text.partition(',')[0]} for {told.text.partition(',')[0]}"
    if seen.bytes != told.bytes:
        yield f"{seen.bytes} bytes for {told.bytes}"
    if seen.again:
        yield f"{seen.again} came again"
    if seen.in_flight > told.in_flight or (gathered and seen.in_flight < told.in_flight):
        yield f"{seen.in_flight} at once for {told.in_flight}"


def _place(request: Request) -> int:
    """Where in the file its bytes are: by part, or by first byte."""
    return request.part_number or (request.range[0] if request.range else 0)
