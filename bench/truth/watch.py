"""Looking on while `hps` runs: at the link's counters, and at the lives of the tool's processes.

Nothing of it passes through `hps`: processes are those that the kernel shows in the node's
namespace, their starts are the kernel's, and a pidfd tells their ends.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.link import Link
from bench.link.namespace import inhabitants

_LOOK_S = 0.02
_SCAN_S = 0.2
_JOIN_S = 10.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the link had delivered in each direction by `t_s`, a `time.monotonic()`."""

    t_s: float
    up_bytes: int
    up_packets: int
    down_bytes: int
    down_packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One process of the tool, from the kernel; times are `time.monotonic()`.

    The kernel counts starts in ticks of 10 ms. `progress` is what the tool's own statistics said
    while it ran: when, and how many bytes had moved by then.
    """

    argv: tuple[str, ...]
    start_s: float
    end_s: float
    progress: tuple[tuple[float, int], ...] = ()


@dataclass(slots=True)
class _Running:
    argv: tuple[str, ...]
    start_s: float
    log: Path


@dataclass(slots=True)
class Watch:
    """Looks on for a `with` block; what it saw is complete after the block.

    `verbs` are words on the command lines of the processes that count.
    """

    link: Link
    verbs: frozenset[str]
    looks: list[Look] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    failure: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _running: dict[int, _Running] = field(default_factory=dict)

    def __enter__(self) -> Watch:
        with self.link.inside():
            inode = Path("/proc/thread-self/ns/net").stat().st_ino
        for work in (self._look, lambda: self._follow(inode)):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_JOIN_S)
        for descriptor in self._running:
            os.close(descriptor)
        self._running.clear()

    def _guarded(self, work: Callable[[], None]) -> None:
        """What a thread ends by is for the block's owner to raise."""
        try:
            work()
        except Exception as error:
            self.failure = error

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_S):
            counters = self.link.counters()
            self.looks.append(
                Look(
                    t_s=time.monotonic(),
                    up_bytes=counters.up.delivered_bytes,
                    up_packets=counters.up.delivered_packets,
                    down_bytes=counters.down.delivered_bytes,
                    down_packets=counters.down.delivered_packets,
                )
            )

    def _follow(self, inode: int) -> None:
        seen: set[int] = set()
        while not self._stop.is_set():
            for pid in set(inhabitants({inode})) - seen:
                self._begin(pid, seen)
            ended, _, _ = select.select(list(self._running), (), (), _SCAN_S)
            now_s = time.monotonic()
            for descriptor in ended:
                self._end(descriptor, now_s)

    def _begin(self, pid: int, seen: set[int]) -> None:
        """Keep an eye on it, where it is the tool; one that has just ended is none to follow."""
        with suppress(OSError):
            argv = tuple(Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
            if self.verbs.isdisjoint(argv):
                return  # looked at again: it may be about to become the tool
            seen.add(pid)
            running = _Running(argv, _start_s(pid), Path(f"/proc/{pid}/fd/2").readlink())
            self._running[os.pidfd_open(pid)] = running

    def _end(self, descriptor: int, now_s: float) -> None:
        running = self._running.pop(descriptor)
        os.close(descriptor)
        progress = _progress(running.log)
        self.lives.append(
            Life(argv=running.argv, start_s=running.start_s, end_s=now_s, progress=progress)
        )


def _start_s(pid: int) -> float:
    """In the middle of the kernel's tick. Field 22 of `stat`, counted from after the name."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return (ticks + 0.5) * _TICK_S - asleep_s


def _progress(log: Path) -> tuple[tuple[float, int], ...]:
    """The statistics in rclone's log; nothing where it is gone already."""
    ahead_s = time.time() - time.monotonic()
    points = []
    with suppress(OSError):
        for line in log.read_bytes().splitlines():
            if b'"stats":' in line:
                with suppress(ValueError):
                    entry = json.loads(line)
                    at_s = datetime.fromisoformat(entry["time"]).timestamp() - ahead_s
                    points.append((at_s, int(entry["stats"]["bytes"])))
    return tuple(points)
