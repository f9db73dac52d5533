"""Whether this machine had time to spare: else what was measured is the machine's, not the link's.

Emulator, server and tool share its processors. A thread looks twice a second at what the kernel
counts; of a transfer it then tells how much was idle while it ran.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Of one processor: with less than this idle, whoever waits for a packet may wait for the machine.
LEAST_IDLE_CORES = 0.25
# Taken by other machines on the same host.
MOST_STEAL_CORES = 0.05
_INTERVAL_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# proc(5), the line "cpu": user nice system idle iowait irq softirq steal
_IDLE, _WAITING, _STEAL = 3, 4, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the kernel had counted at a time of day: idle and stolen seconds of all processors.

    `pressed_s` is for how long some task had waited for a processor; None where it does not tell.
    """

    at_s: float
    idle_s: float
    steal_s: float
    pressed_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """Of a stretch of time: processors idle and stolen, and the share in which some task waited."""

    idle_cores: float
    steal_cores: float
    pressed: float | None

    @property
    def why_void(self) -> str:
        """Why what was measured then says nothing of a link; empty where it does."""
        if self.idle_cores < LEAST_IDLE_CORES:
            return f"void: {self.idle_cores:.2f} of a processor were idle"
        if self.steal_cores > MOST_STEAL_CORES:
            return f"void: {self.steal_cores:.2f} of a processor were stolen"
        return ""


@dataclass(slots=True)
class Watch:
    """The looks so far."""

    root: Path = Path("/")
    looks: list[Look] = field(default_factory=list)

    def look(self) -> None:
        """Take one."""
        self.looks.append(look(self.root))

    def spare(self, start_s: float, end_s: float) -> Spare:
        """Of a stretch between two times of day, as far as there were looks; the nearest two else.

        Raises `ValueError` with fewer than two looks.
        """
        before = [one for one in self.looks if one.at_s <= start_s] or self.looks[:1]
        after = [one for one in self.looks if one.at_s >= end_s] or self.looks[-1:]
        if not before or before[-1] == after[0]:
            raise ValueError("too few looks")
        return between(before[-1], after[0])


def look(root: Path = Path("/")) -> Look:
    """What the kernel counts now. `root` is the folder that holds `proc`."""
    numbers = (root / "proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    ticks = [int(number) for number in numbers]
    return Look(
        at_s=time.time(),
        idle_s=(ticks[_IDLE] + ticks[_WAITING]) / _TICKS_PER_S,
        steal_s=ticks[_STEAL] / _TICKS_PER_S,
        pressed_s=_pressed_s(root),
    )


def between(first: Look, last: Look) -> Spare:
    """What was to spare from one look to another."""
    seconds = max(last.at_s - first.at_s, 1e-9)
    known = first.pressed_s is not None and last.pressed_s is not None
    return Spare(
        idle_cores=(last.idle_s - first.idle_s) / seconds,
        steal_cores=(last.steal_s - first.steal_s) / seconds,
        pressed=((last.pressed_s or 0) - (first.pressed_s or 0)) / seconds if known else None,
    )


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Looks twice a second for the length of a `with` block."""
    watch, over = Watch(), threading.Event()

    def run() -> None:
        while not over.wait(_INTERVAL_S):
            watch.look()

    watch.look()
    thread = threading.Thread(target=run, name="quiet", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _pressed_s(root: Path) -> float | None:
    """`some … total=` of PSI, in microseconds there."""
    try:
        text = (root / "proc/pressure/cpu").read_text(encoding="ascii")
    except OSError:
        return None
    for word in text.split():
        if word.startswith("total="):
            return int(word.removeprefix("total=")) / 1e6
    return None
