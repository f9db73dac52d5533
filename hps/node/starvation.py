"""Whether this machine was short of processor time while it measured.

All figures are differences between two readings of counters that only grow.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.process import cgroup

# The share of the time in which some process waited for a processor. Packets to send, and answers
# that have come, then wait as often. Less is seen wherever several programs are at work.
_MOST_WAITING = 0.25
# The share of the time in which a limit of this container stopped it, or the host of a virtual
# machine: nothing is sent meanwhile, and TCP's open window is not used.
_MOST_THROTTLED = 0.05
_MOST_STOLEN = 0.05
_TOTAL_US = re.compile(r"^some .*\btotal=(\d+)$", re.MULTILINE)
_STAT_STEAL = 7  # of user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first
_STAT_FIELDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The counters at one moment; None where the kernel does not have them."""

    at_s: float
    waited_s: float | None
    throttled_s: float | None
    stolen: int | None
    ticks: int | None


def read_counters(root: Path = Path("/")) -> Counters:
    """Read the counters. `root` is the folder that holds `proc` and `sys`."""
    found = _TOTAL_US.search(_text(root / "proc/pressure/cpu"))
    ticks = _ticks(_text(root / "proc/stat"))
    return Counters(
        at_s=time.monotonic(),
        waited_s=int(found[1]) / 1e6 if found else None,
        throttled_s=cgroup.throttled_s(root),
        stolen=ticks[_STAT_STEAL] if ticks else None,
        ticks=sum(ticks) if ticks else None,
    )


def disturbed(before: Counters, after: Counters) -> Mapping[str, float | None] | None:
    """The shares, by name, where one is too high to trust what was measured; else None."""
    passed_s = after.at_s - before.at_s
    shares = {
        "cpu_waiting_share": _share(before.waited_s, after.waited_s, passed_s),
        "throttled_share": _share(before.throttled_s, after.throttled_s, passed_s),
        "steal_share": _share(
            before.stolen, after.stolen, (after.ticks or 0) - (before.ticks or 0)
        ),
    }
    bounds = (_MOST_WAITING, _MOST_THROTTLED, _MOST_STOLEN)
    high = [(share or 0.0) > most for share, most in zip(shares.values(), bounds, strict=True)]
    return shares if any(high) else None


def _share(before: float | None, after: float | None, whole: float) -> float | None:
    if before is None or after is None or whole <= 0:
        return None
    return round(max(0.0, after - before) / whole, 4)


def _ticks(stat: str) -> list[int]:
    fields = stat.partition("\n")[0].split()[1 : 1 + _STAT_FIELDS]
    whole = len(fields) == _STAT_FIELDS and all(map(str.isdecimal, fields))
    return [int(field) for field in fields] if whole else []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
