"""One direction of a link: which packets get through, and when. No input or output, no clock."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import asdict, dataclass

# A queue for ten packets must not hold nine because times are not exact.
_ROUNDING_S = 1e-9


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one direction did since the last reset; times are `time.monotonic()`.

    `first_s` is when the first packet arrived at the link, `last_s` when the last one left it.
    `busy_s` is the time between departures of packets that had to wait for the one before them,
    and `busy_bytes` are theirs. `late_s` sums up how long after their time packets left.
    """

    arrived_packets: int = 0
    arrived_bytes: int = 0
    lost_packets: int = 0
    dropped_packets: int = 0
    delivered_packets: int = 0
    delivered_bytes: int = 0
    first_s: float | None = None
    last_s: float | None = None
    busy_s: float = 0.0
    busy_bytes: int = 0
    longest_queue_s: float = 0.0
    late_s: float = 0.0
    most_late_s: float = 0.0


class Pipe:
    """A random loss, a drop-tail queue, a rate and a delay, in this order.

    Packet by packet the time is kept at which the line will be free again, so that the rate is
    exact however late and in whatever batches packets are handed in or fetched. A lost packet
    takes no time on the line. The n-th packet to arrive is lost or not by `seed` and n alone.
    """

    def __init__(
        self, *, bytes_per_s: float, delay_s: float, queue_s: float, loss: float, seed: str
    ) -> None:
        self._s_per_byte = 1 / bytes_per_s
        self._delay_s = delay_s
        self._queue_s = queue_s + _ROUNDING_S
        self._loss = loss
        self._draw = random.Random(seed).random
        self._free_s = 0.0
        self._left_s = 0.0
        # When it is due, the packet, and its size if it had to wait for the one before it, or 0.
        self._on_the_way: deque[tuple[float, bytes, int]] = deque()
        self._tally = Tally()

    @property
    def due_s(self) -> float | None:
        """When the next packet has to leave; None where none is on the way."""
        return self._on_the_way[0][0] if self._on_the_way else None

    @property
    def on_the_way(self) -> int:
        """How many packets are waiting for their time."""
        return len(self._on_the_way)

    def arrive(self, packets: list[bytes], now_s: float) -> None:
        """Take packets that came in at `now_s`, in order."""
        if not packets:
            return
        tally = self._tally
        if tally.first_s is None:
            tally.first_s = now_s
        tally.arrived_packets += len(packets)
        tally.arrived_bytes += sum(map(len, packets))
        got_through = [packet for packet in packets if self._draw() >= self._loss]
        tally.lost_packets += len(packets) - len(got_through)
        self._queue(got_through, now_s)

    def leave(self, now_s: float) -> list[bytes]:
        """The packets whose time has come, in order. They count as delivered at `now_s`."""
        on_the_way = self._on_the_way
        gone = []
        while on_the_way and on_the_way[0][0] <= now_s:
            gone.append(on_the_way.popleft())
        if gone:
            self._count_gone(gone, now_s)
        return [packet for _, packet, _ in gone]

    def counts(self) -> dict[str, float | None]:
        """The tally, and how many packets are on the way."""
        return {**asdict(self._tally), "on_the_way_packets": self.on_the_way}

    def reset(self) -> None:
        """Count from zero; what is on the way counts as delivered when it leaves."""
        self._tally = Tally()

    def _queue(self, packets: list[bytes], now_s: float) -> None:
        free_s, dropped = self._free_s, 0
        s_per_byte, delay_s, queue_s = self._s_per_byte, self._delay_s, self._queue_s
        append = self._on_the_way.append
        for packet in packets:
            wait_s, own_s = free_s - now_s, len(packet) * s_per_byte
            if wait_s <= 0:
                free_s = now_s + own_s
                append((free_s + delay_s, packet, 0))
            elif wait_s + own_s <= queue_s:
                free_s += own_s
                append((free_s + delay_s, packet, len(packet)))
            else:
                dropped += 1
        self._free_s = free_s
        self._tally.dropped_packets += dropped
        self._tally.longest_queue_s = max(self._tally.longest_queue_s, free_s - now_s)

    def _count_gone(self, gone: list[tuple[float, bytes, int]], now_s: float) -> None:
        tally, (first_due_s, _, first_waited) = self._tally, gone[0]
        tally.delivered_packets += len(gone)
        tally.delivered_bytes += sum([len(packet) for _, packet, _ in gone])
        tally.busy_bytes += sum([waited_bytes for _, _, waited_bytes in gone])
        if first_waited:
            tally.busy_s += now_s - self._left_s
        tally.late_s += len(gone) * now_s - sum([due_s for due_s, _, _ in gone])
        tally.most_late_s = max(tally.most_late_s, now_s - first_due_s)
        tally.last_s = self._left_s = now_s
