"""What a link is like. Rates count whole IP packets; Mbps are 10^6 bits a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hps.errors import HpsError

Way = Literal["up", "down"]
WAYS: tuple[Way, ...] = ("up", "down")

# The shortest queue that is chosen unasked, in packets of full size: a link of next to no delay
# has next to no bandwidth-delay product, and TCP sends its first ten packets at once.
_LEAST_QUEUE_PACKETS = 10
_MOST_RTT_S = 60.0
_MOST_MBPS = 100_000.0
_LEAST_MTU, _MOST_MTU = 576, 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """A link between a node and the outside; "up" is away from the node.

    `rtt_s` is the round trip without any queueing, half of it each way. `loss` is the share of
    packets lost at random, the same each way; `seed` decides which. A queue holds `queue_s` at the
    direction's rate, or `queue_bytes`, without what is on its way already; None for both: one
    bandwidth-delay product, `rtt_s`, and at least ten packets. `congestion_control` and the
    most that TCP's buffers may grow to (of each socket) hold on both sides; None: as this
    machine has them.
    Raises `HpsError` where a value makes no sense.
    """

    rtt_s: float
    up_mbps: float
    down_mbps: float
    loss: float = 0.0
    seed: int = 0
    queue_s: float | None = None
    queue_bytes: int | None = None
    congestion_control: str | None = None
    receive_buffer_bytes: int | None = None
    send_buffer_bytes: int | None = None
    mtu_bytes: int = 1500

    def __post_init__(self) -> None:
        _check("rtt", 0 <= self.rtt_s <= _MOST_RTT_S, f"0 to {_MOST_RTT_S:g} s")
        for name, mbps in (("up", self.up_mbps), ("down", self.down_mbps)):
            _check(name, 0 < mbps <= _MOST_MBPS, f"more than 0, at most {_MOST_MBPS:g} Mbps")
        _check("loss", 0 <= self.loss < 1, "0 % to less than 100 %")
        _check("mtu", _LEAST_MTU <= self.mtu_bytes <= _MOST_MTU, f"{_LEAST_MTU} to {_MOST_MTU}")
        _check("queue", self.queue_s is None or self.queue_bytes is None, "a time or a size")
        self._check_queue()
        for name, size_bytes in (
            ("receive buffer", self.receive_buffer_bytes),
            ("send buffer", self.send_buffer_bytes),
        ):
            _check(name, size_bytes is None or 4096 <= size_bytes < 2**31, "4 KiB to 2 GiB")

    def mbps(self, way: Way) -> float:
        """The rate of one direction."""
        return self.up_mbps if way == "up" else self.down_mbps

    def queue_of_s(self, way: Way) -> float:
        """How long a packet waits in this direction's queue when it is full."""
        if self.queue_s is not None:
            return self.queue_s
        if self.queue_bytes is not None:
            return self._on_wire_s(self.queue_bytes, way)
        return max(self.rtt_s, self._on_wire_s(_LEAST_QUEUE_PACKETS * self.mtu_bytes, way))

    def _on_wire_s(self, size_bytes: int, way: Way) -> float:
        return size_bytes * 8 / (self.mbps(way) * 1e6)

    def _check_queue(self) -> None:
        for way in WAYS:
            _check(
                "queue",
                self.queue_of_s(way) >= self._on_wire_s(self.mtu_bytes, way),
                f"room for a packet of {self.mtu_bytes} bytes at least",
            )


def _check(name: str, good: bool, range_: str) -> None:
    if not good:
        raise HpsError(f"the link's {name} makes no sense", f"it takes {range_}")
