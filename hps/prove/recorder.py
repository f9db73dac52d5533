"""What went over the wire, request by request, and how to read it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hps.prove.http_head import Direction, Kind, RequestHead

SETTLE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One request as it went over the wire.

    `key` is that in the bucket. `range` is first and last byte, the last None for "to the end".
    `body_bytes` counts the request's body for an upload, the response's otherwise. Times are
    `time.monotonic()`: from when the head had been read to just before the last byte of the
    response was handed to the kernel. `status` is None where no response was sent; `complete` is
    False where the connection ended before the last byte. `sequence` counts heads as they came.
    """

    sequence: int
    method: str
    version: str
    key: str
    kind: Kind
    direction: Direction
    query: str
    part_number: int | None
    range: tuple[int, int | None] | None
    body_bytes: int
    started_s: float
    ended_s: float
    client_port: int
    status: int | None
    complete: bool


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request that is under way, filled in as it goes. `up_bytes`, `down_bytes`: the bodies."""

    sequence: int
    head: RequestHead
    client_port: int
    started_s: float
    up_bytes: int = 0
    down_bytes: int = 0
    ended_s: float | None = None
    status: int | None = None
    complete: bool = False

    def done(self) -> SeenRequest:
        """The record of it."""
        head = self.head
        return SeenRequest(
            sequence=self.sequence,
            method=head.method,
            version=head.version,
            key=head.key,
            kind=head.kind,
            direction=head.direction,
            query="&".join(f"{name}={value}" for name, value in head.query.items()),
            part_number=head.part_number,
            range=head.range,
            body_bytes=self.up_bytes if head.method in {"PUT", "POST"} else self.down_bytes,
            started_s=self.started_s,
            ended_s=time.monotonic() if self.ended_s is None else self.ended_s,
            client_port=self.client_port,
            status=self.status,
            complete=self.complete,
        )


class RequestRecorder:
    """Keeps the record of every request; safe to use in many threads.

    It waits for a peak no longer than `quiet_s` after the last data request began: some tools ask
    for one part first, and for the others once they have it.
    """

    def __init__(self, *, quiet_s: float = math.inf) -> None:
        self.quiet_s = quiet_s
        self._last_s = 0.0
        self._changed = threading.Condition()
        self._under_way = 0
        self._data_under_way = 0
        self._data_peak = 0
        self._released = False
        self._sequence = 0
        self._requests: list[SeenRequest] = []

    def begin(self, head: RequestHead, client_port: int) -> Exchange:
        """Count a request whose head has just been read."""
        with self._changed:
            if head.kind != "control":
                self._last_s = time.monotonic()
            self._under_way += 1
            self._sequence += 1
            self._count_data(head, 1)
            return Exchange(
                sequence=self._sequence,
                head=head,
                client_port=client_port,
                started_s=time.monotonic(),
            )

    def end(self, exchange: Exchange) -> None:
        """Store the record of a request that is over, one way or another."""
        with self._changed:
            self._requests.append(exchange.done())
            self._under_way -= 1
            self._count_data(exchange.head, -1)
            self._changed.notify_all()

    def requests(self, settle_s: float = SETTLE_S) -> tuple[SeenRequest, ...]:
        """Every request so far, in the order in which their heads came.

        A client sees its last byte a moment before the record of it is stored: so this waits up to
        `settle_s` seconds for the requests that are under way.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, settle_s)
            return tuple(sorted(self._requests, key=lambda request: request.sequence))

    def begun(self) -> int:
        """How many requests have begun, over or not."""
        with self._changed:
            return self._sequence

    def wait_for_data_peak(self, count: int, timeout_s: float) -> None:
        """Return once `count` data requests were under way at once since the last `clear`.

        Or after `timeout_s`, or once no more come.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._released and self._data_peak < count:
                left_s = min(deadline_s, self._last_s + self.quiet_s) - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)

    def release(self) -> None:
        """End every `wait_for_data_peak`, and let none wait again."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget the requests that are over."""
        with self._changed:
            self._requests.clear()
            self._data_peak = self._data_under_way

    def _count_data(self, head: RequestHead, change: int) -> None:
        if head.kind != "control":
            self._data_under_way += change
            self._data_peak = max(self._data_peak, self._data_under_way)
            self._changed.notify_all()


def data_requests(
    requests: Iterable[SeenRequest],
    direction: Literal["up", "down"],
    *,
    prefix: str = "",
    suffix: str = "",
) -> tuple[SeenRequest, ...]:
    """Those that carry objects' bytes in this direction, for keys with this prefix and suffix."""
    return tuple(
        request
        for request in requests
        if request.direction == direction
        and request.key.startswith(prefix)
        and request.key.endswith(suffix)
    )


def peak_in_flight(requests: Iterable[SeenRequest]) -> int:
    """The most requests that were under way at one moment."""
    requests = tuple(requests)
    starts = [(request.started_s, 1) for request in requests]
    ends = [(request.ended_s, -1) for request in requests]
    peak = now = 0
    for _, change in sorted(starts + ends):
        now += change
        peak = max(peak, now)
    return peak


def connections(requests: Iterable[SeenRequest]) -> int:
    """How many TCP connections of the client carried these requests."""
    return len({request.client_port for request in requests})
