"""What went over a link, and the table of it."""

from __future__ import annotations

from dataclasses import dataclass

from tabulate import tabulate

from bench.link.settings import WAYS, Way

# Over less than this, the times at which single packets leave say nothing of a rate.
_LEAST_BUSY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionCounters:
    """One direction since the last reset. Bytes are those of whole IP packets.

    What arrived is lost (at random), dropped (the queue was full), on the way, or delivered.
    `first_s` is when the first packet arrived, `last_s` when the last one left, both as
    `time.monotonic()`; None where there was none. `achieved_mbps` is the rate at which packets
    left that had to wait for the one before them, `busy_bytes` over the `busy_s` it took, as it
    happened and not as it was planned; None for less than 0.25 s of that. `mean_late_s` and
    `most_late_s` say how long after their time packets left, because the forwarder was busy or had
    to wait for the processor. `kernel_drops` were lost before the link saw them: it has to be 0.
    """

    arrived_packets: int
    arrived_bytes: int
    lost_packets: int
    dropped_packets: int
    on_the_way_packets: int
    delivered_packets: int
    delivered_bytes: int
    first_s: float | None
    last_s: float | None
    busy_s: float
    busy_bytes: int
    achieved_mbps: float | None
    longest_queue_s: float
    mean_late_s: float
    most_late_s: float
    kernel_drops: int

    @property
    def lost_share(self) -> float:
        """The share of packets lost at random, 0 where none arrived."""
        return self.lost_packets / self.arrived_packets if self.arrived_packets else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Both directions, and the forwarder's own cost: CPU seconds in how many seconds."""

    up: DirectionCounters
    down: DirectionCounters
    forwarder_cpu_s: float
    elapsed_s: float

    def of(self, way: Way) -> DirectionCounters:
        """The counters of one direction."""
        return self.up if way == "up" else self.down

    @property
    def forwarder_share(self) -> float:
        """How much of a processor core the forwarder took."""
        return self.forwarder_cpu_s / self.elapsed_s if self.elapsed_s else 0.0

    def text(self) -> str:
        """A table, and a line about the forwarder."""
        headers = ["", "packets", "MB", "lost", "dropped", "kernel", "busy s", "achieved Mbps",
                   "queue ms", "late ms", "most"]  # fmt: skip
        rows = [_row(way, self.of(way)) for way in WAYS]
        table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right")
        return (
            f"{table}\n"
            "lost: at random; dropped: the queue was full; kernel: before the link saw them; "
            "late: how long\nafter their time packets left. Forwarder: "
            f"{100 * self.forwarder_share:.1f} % of a core over {self.elapsed_s:.1f} s."
        )


def direction_counters(counts: dict[str, float | None], kernel_drops: int) -> DirectionCounters:
    """From a pipe's counts, as the forwarder sends them."""

    def number(name: str) -> float:
        return counts[name] or 0

    busy_s, delivered = number("busy_s"), int(number("delivered_packets"))
    return DirectionCounters(
        arrived_packets=int(number("arrived_packets")),
        arrived_bytes=int(number("arrived_bytes")),
        lost_packets=int(number("lost_packets")),
        dropped_packets=int(number("dropped_packets")),
        on_the_way_packets=int(number("on_the_way_packets")),
        delivered_packets=delivered,
        delivered_bytes=int(number("delivered_bytes")),
        first_s=counts["first_s"],
        last_s=counts["last_s"],
        busy_s=busy_s,
        busy_bytes=int(number("busy_bytes")),
        achieved_mbps=(
            number("busy_bytes") * 8 / 1e6 / busy_s if busy_s >= _LEAST_BUSY_S else None
        ),
        longest_queue_s=number("longest_queue_s"),
        mean_late_s=number("late_s") / delivered if delivered else 0.0,
        most_late_s=number("most_late_s"),
        kernel_drops=kernel_drops,
    )


def _row(way: Way, counters: DirectionCounters) -> list[str]:
    achieved = counters.achieved_mbps
    return [
        way,
        f"{counters.delivered_packets}",
        f"{counters.delivered_bytes / 1e6:.3f}",
        f"{counters.lost_packets}",
        f"{counters.dropped_packets}",
        f"{counters.kernel_drops}",
        f"{counters.busy_s:.2f}",
        "" if achieved is None else f"{achieved:.2f}",
        f"{1000 * counters.longest_queue_s:.1f}",
        f"{1000 * counters.mean_late_s:.2f}",
        f"{1000 * counters.most_late_s:.2f}",
    ]
