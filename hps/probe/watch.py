"""A running transfer, looked at from outside until its rate is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hps import process
from hps.catalog.failures import Failure, failure
from hps.node.bandwidth import INTERVAL_S, LEAST_BYTES, SteadyRate, rate_from_points
from hps.node.reading import Unknown, failed
from hps.node.socket_bytes import SocketBytes
from hps.probe.link import first_failure, tool_failed
from hps.probe.rates import STOPPED, Rate

# A slow link with large buffers takes many seconds.
_QUIET_TIMEOUT_S = 20.0
_QUIET_LOOKS = 2


@dataclass(slots=True)
class Watch:
    """Looks at a process from outside until its rate is steady, or something goes wrong.

    It takes `most_s` from when payload begins to move: what the tool does before, such as reading
    its files for their checksums, is not the link's. It is a `process.Sampler`, and the
    `process.Stop` of the same process.
    """

    log: Path
    count: Callable[[SocketBytes], int | Unknown]
    stop: process.Stop
    most_s: float
    interval_s: float = INTERVAL_S
    rate: SteadyRate = field(default_factory=SteadyRate)
    trouble: Failure | None = None
    _sockets: SocketBytes | None = None
    _first_bytes: int | None = None
    _moving_since_s: float | None = None

    def sample(self, pid: int) -> None:
        """One look at the bytes that process `pid` has moved."""
        if self._sockets is None:
            self._sockets = SocketBytes(pid=pid)
        total = self.count(self._sockets)
        if isinstance(total, Unknown):
            self.trouble = failure("tool_failed", total.reason)
        else:
            self._feed(time.monotonic(), total)

    def _feed(self, now_s: float, total_bytes: int) -> None:
        """Add a look; of those before payload moves only the last one is kept."""
        if self._first_bytes is None:
            self._first_bytes = total_bytes
        if self._moving_since_s is None:
            if total_bytes - self._first_bytes < LEAST_BYTES:
                self.rate.points.clear()
            else:
                self._moving_since_s = now_s
        self.rate.feed(now_s, total_bytes)

    def is_set(self) -> bool:
        """True once there is no more to see."""
        # Bytes move in requests that are refused, too: their rate is none.
        if not self.trouble and self.log.stat().st_size:
            self.trouble = first_failure(self.log)
        return self.stop.is_set() or self.trouble is not None or self.rate.steady or self._enough()

    def _enough(self) -> bool:
        since_s = self._moving_since_s
        return since_s is not None and time.monotonic() - since_s >= self.most_s

    def wait_for_quiet(self) -> None:
        """Wait until the kernel has sent what the ended process left in its buffers, or for long.

        What is measured next would share the link with it.
        """
        ends_s, last, quiet = time.monotonic() + _QUIET_TIMEOUT_S, None, 0
        while self._sockets is not None and time.monotonic() < ends_s and quiet < _QUIET_LOOKS:
            moved = self._sockets.sent_bytes()
            quiet, last = (quiet + 1 if moved == last else 0), moved
            if self.stop.is_set() or isinstance(moved, Unknown):
                return
            time.sleep(self.interval_s)

    def outcome(self, ended: process.Exit) -> Rate:
        """The rate, once the process has ended."""
        if self.stop.is_set():
            return Rate(mbps=failed(STOPPED))
        if ended.ended == "exit" and ended.returncode != 0 and not self.trouble:
            self.trouble = first_failure(self.log) or tool_failed(ended)
        if self.trouble:
            return Rate(mbps=failed(self.trouble))
        if self._moving_since_s is None:
            nothing = failure("timeout", f"no payload moved in {ended.duration_s:.3g} s")
            return Rate(mbps=failed(nothing))
        points = tuple(self.rate.points)
        reading = rate_from_points((point.t_s, point.bytes_total) for point in points)
        return Rate(mbps=reading, points=points)
