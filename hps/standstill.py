"""Standing still: a process that was stopped or frozen, or a machine that slept, moves nothing.

Who waits in short steps sees it afterwards, by steps that took much longer than they were to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_STOPPED = frozenset("Tt")  # by a signal, by a debugger
_CLOCKS = tuple(
    getattr(time, name)
    for name in ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME")
    if hasattr(time, name)
)


def clocks() -> tuple[float, ...]:
    """Seconds by each clock that shows another kind of sleep.

    While a machine is suspended the first one stands. One that was paused or moved from outside
    may see it by the time of day alone, which is set once it goes on.
    """
    return tuple(map(time.clock_gettime, _CLOCKS))


@dataclass(slots=True)
class Looks:
    """Looks at a child, each due some time after the last one.

    `late_s` is the longest time by which one came late, `stopped_s` for how long, in all, the
    child was seen stopped.
    """

    pid: int
    late_s: float = 0.0
    stopped_s: float = 0.0
    clocks: Callable[[], tuple[float, ...]] = clocks
    proc: Path = Path("/proc")
    _at: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._at = self.clocks()

    def take(self, due_s: float) -> None:
        """One more look, which was to be `due_s` after the last one."""
        before, self._at = self._at, self.clocks()
        passed_s = [now - then for then, now in zip(before, self._at, strict=True)]
        self.late_s = max(self.late_s, *(passed - due_s for passed in passed_s))
        self.stopped_s += passed_s[0] if self._is_stopped() else 0.0

    def _is_stopped(self) -> bool:
        try:
            stat = (self.proc / str(self.pid) / "stat").read_text(errors="replace")
        except OSError:
            return False
        return stat.rpartition(") ")[2][:1] in _STOPPED
