"""Whether this machine had time to spare: else what was measured is the machine's, not the link's.

Emulator, server and tool share its processors. A thread looks twice a second at what the kernel and
the forwarder count; of a transfer it then tells how much was idle, stolen and late while it ran.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.link import Counters
from hps.errors import MachineError

# Of one processor: with less than this idle, whoever waits for a packet may wait for the machine.
LEAST_IDLE_CORES = 0.25
# Taken by other machines on the same host.
MOST_STEAL_CORES = 0.05
# How long after their time packets may leave the link, as a mean of a transfer.
MOST_LATE_S = 0.001
# Before anything is published: of each processor, so much is idle while nothing is measured.
_LEAST_IDLE_BEFORE = 0.8
_BEFORE_S = 3.0
# Of what was measured while the machine was busy.
TRIES = 3
_INTERVAL_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# proc(5), the line "cpu": user nice system idle iowait irq softirq steal
_IDLE, _WAITING, _STEAL = 3, 4, 7
Transfer = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What had been counted at a time of day: idle and stolen seconds of all processors.

    `pressed_s` is for how long some task had waited for a processor; None where the kernel does not
    tell. `late_s` is how late all `packets` of the link left together.
    """

    at_s: float
    idle_s: float
    steal_s: float
    pressed_s: float | None
    packets: int = 0
    late_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """Of a stretch of time: processors idle and stolen, and the share in which some task waited.

    `late_s`: how late packets left the link, as a mean; 0 without a link.
    """

    idle_cores: float
    steal_cores: float
    pressed: float | None
    late_s: float = 0.0

    @property
    def why_void(self) -> str:
        """Why what was measured then says nothing of a link; empty where it does."""
        if self.idle_cores < LEAST_IDLE_CORES:
            return f"void: {self.idle_cores:.2f} of a processor were idle"
        if self.steal_cores > MOST_STEAL_CORES:
            return f"void: {self.steal_cores:.2f} of a processor were stolen"
        if self.late_s > MOST_LATE_S:
            return f"void: packets left {1000 * self.late_s:.1f} ms late"
        return ""


@dataclass(slots=True)
class Watch:
    """The looks so far; `link` tells the counters of a link where there is one."""

    root: Path = Path("/")
    link: Callable[[], Counters] | None = None
    looks: list[Look] = field(default_factory=list)

    def look(self) -> None:
        """Take one."""
        self.looks.append(look(self.root, None if self.link is None else self.link()))

    def spare(self, start_s: float, end_s: float) -> Spare:
        """Of a stretch between two times of day, as far as there were looks; the nearest two else.

        Raises `ValueError` with fewer than two looks.
        """
        looks = tuple(self.looks)
        before = [one for one in looks if one.at_s <= start_s] or looks[:1]
        after = [one for one in looks if one.at_s >= end_s] or looks[-1:]
        if not before or before[-1] == after[0]:
            raise ValueError("too few looks")
        return between(before[-1], after[0])


def look(root: Path = Path("/"), counters: Counters | None = None) -> Look:
    """What is counted now. `root` is the folder that holds `proc`, `counters` are a link's."""
    numbers = (root / "proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    ticks = [int(number) for number in numbers]
    ways = () if counters is None else (counters.up, counters.down)
    return Look(
        at_s=datetime.now(UTC).timestamp(),
        idle_s=(ticks[_IDLE] + ticks[_WAITING]) / _TICKS_PER_S,
        steal_s=ticks[_STEAL] / _TICKS_PER_S,
        pressed_s=_pressed_s(root),
        packets=sum(way.delivered_packets for way in ways),
        late_s=sum(way.delivered_packets * way.mean_late_s for way in ways),
    )


def between(first: Look, last: Look) -> Spare:
    """What was to spare from one look to another."""
    seconds = max(last.at_s - first.at_s, 1e-9)
    known = first.pressed_s is not None and last.pressed_s is not None
    return Spare(
        idle_cores=(last.idle_s - first.idle_s) / seconds,
        steal_cores=(last.steal_s - first.steal_s) / seconds,
        pressed=((last.pressed_s or 0) - (first.pressed_s or 0)) / seconds if known else None,
        late_s=(last.late_s - first.late_s) / max(last.packets - first.packets, 1),
    )


@contextlib.contextmanager
def watching(link: Callable[[], Counters] | None = None) -> Iterator[Watch]:
    """Looks twice a second for the length of a `with` block."""
    watch, over = Watch(link=link), threading.Event()

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


def judge(transfer: Transfer, watch: Watch) -> dict[str, Any]:
    """The transfer with what the machine had to spare; `why` says where that was too little.

    A transfer is plain data: `started_at`, `duration_s`, `why`, and perhaps `mbps`, of which a void
    one has None.
    """
    start_s = datetime.fromisoformat(transfer["started_at"]).timestamp()
    spare = watch.spare(start_s, start_s + transfer["duration_s"])
    void = spare.why_void
    judged = {**transfer, "why": transfer["why"] or void, "void": bool(void), **asdict(spare)}
    return judged | {"mbps": None} if void and "mbps" in transfer else judged


def undisturbed(
    block: Callable[[int], Sequence[Transfer]],
    watch: Watch,
    busy: Callable[[], None],
    *,
    tries: int = TRIES,
) -> list[dict[str, Any]]:
    """What `block` measured, judged; measured again while any of it is void and tries are left.

    `block` is given the number of the try, `busy` is called for each that is void.
    """
    for attempt in range(tries):
        done = block(attempt)
        watch.look()
        judged = [judge(one, watch) for one in done]
        if not any(one["void"] for one in judged):
            break
        busy()
    return judged


def check_before(write: bool) -> None:
    """Raises `MachineError` where something is to be published and this machine is busy already."""
    if not write:
        return
    first = look()
    time.sleep(_BEFORE_S)
    spare, cores = between(first, look()), os.cpu_count() or 1
    if spare.idle_cores < _LEAST_IDLE_BEFORE * cores or spare.steal_cores > MOST_STEAL_CORES:
        raise MachineError(
            f"this machine is busy: of {cores} processors {spare.idle_cores:.2f} are idle and "
            f"{spare.steal_cores:.2f} stolen, so nothing measured now is published",
            "wait until nothing else runs here, or leave out --write",
        )


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
