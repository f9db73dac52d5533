"""Many inputs for a limited time, in several processes; what went wrong is a `Find`."""

from __future__ import annotations

import concurrent.futures
import faulthandler
import hashlib
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import address, mutated
from tests.fuzz.seeds import Input, seeds
from tests.fuzz.target import feed, feed_address

# Of what is repeated with each commit.
SEED = 20_261_122
MOST_S = 1.0
# What a plan may take beyond that, for each operation that its experiment declares.
PER_OPERATION_S = 150e-6
MOST_MIB = 300
# A loop in the parser, written in C, hears no signal: then the process ends with its traceback.
_HANG_S = 120
# The watch over that is wound up once in so many inputs: each time costs a thread.
_WATCHED = 100
# Of the inputs one in so many is an address instead.
_ADDRESSES = 50
_MOST_FINDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """An input that does what none may do."""

    what: str
    content: str

    def keep(self, folder: Path) -> Path:
        """Write it into a folder, to be looked at or to become a seed."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(self.content.encode()).hexdigest()[:12]}.json"
        path.write_text(self.content)
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a campaign came to."""

    inputs: int
    planned: int
    seconds: float
    slowest_s: float
    peak_mib: float
    finds: tuple[Find, ...]

    def summary(self) -> str:
        """For a person."""
        return (
            f"fuzz: {self.inputs:,} inputs in {self.seconds:.0f} s "
            f"({self.inputs / max(self.seconds, 1e-9):.0f} a second), {self.planned:,} of them "
            f"planned; the slowest took {self.slowest_s:.2f} s, at most {self.peak_mib:.0f} MiB; "
            f"{len(self.finds)} finds"
        )


@dataclass(slots=True, kw_only=True)
class _Worker:
    """One process' share."""

    draw: random.Random
    inputs: int = 0
    planned: int = 0
    slowest_s: float = 0.0
    finds: dict[str, Find] | None = None

    def work(self, until_s: float, most: int) -> None:
        known = seeds()
        pool = [*known]
        self.finds = {}
        while time.monotonic() < until_s and self.inputs < most and len(self.finds) < _MOST_FINDS:
            if self.inputs % _WATCHED == 0:
                faulthandler.dump_traceback_later(_HANG_S, exit=True)
            self.inputs += 1
            if self.inputs % _ADDRESSES == 0:
                self._try_address(address(self.draw))
                continue
            one = mutated(self.draw.choice(pool), known, self.draw)
            if self._try(one):
                self.planned += 1
                if len(pool) < 3 * len(known):
                    pool.append(one)  # what is still good leads further than what is broken
        faulthandler.cancel_dump_traceback_later()

    def _try(self, one: Input) -> bool:
        try:
            took_s, operations = timed(lambda: feed(one))
            allowed_s = MOST_S + PER_OPERATION_S * operations
            if took_s > allowed_s:
                # Others may have had the processor: alone it has to be slow again.
                took_s = min(timed(lambda: feed(one))[0] for _ in range(5))
            if took_s > allowed_s:
                self._note(f"slow: {took_s:.2f} s for {operations} operations", one.as_json())
        except Exception:
            self._note(traceback.format_exc(), one.as_json())
            return False
        if operations * PER_OPERATION_S < MOST_S:
            self.slowest_s = max(self.slowest_s, took_s)
        return operations > 0

    def _try_address(self, text: str) -> None:
        try:
            feed_address(text)
        except Exception:
            self._note(traceback.format_exc(), repr(text))

    def _note(self, what: str, content: str) -> None:
        assert self.finds is not None
        where = "\n".join(line for line in what.splitlines() if "  File " in line)[-300:]
        kind = where or what.partition(":")[0]
        if kind not in self.finds:
            self.finds[kind] = Find(what=what, content=content)
            print(f"fuzz: {what[-1500:]}", file=sys.stderr, flush=True)


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """The processor's seconds that a piece of work took, and what it returned."""
    begin_s = time.process_time()
    returned = work()
    return time.process_time() - begin_s, returned


def _peak_mib() -> float:
    """Of this program alone: what the kernel counts for a process begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _share(seed: int, until_s: float, most: int) -> Done:
    worker = _Worker(draw=random.Random(seed))
    begin_s = time.monotonic()
    worker.work(until_s, most)
    finds = list((worker.finds or {}).values())
    peak_mib = _peak_mib()
    if peak_mib > MOST_MIB:
        finds.append(Find(what=f"memory: {peak_mib:.0f} MiB", content=f"seed {seed}"))
    return Done(
        inputs=worker.inputs,
        planned=worker.planned,
        seconds=time.monotonic() - begin_s,
        slowest_s=worker.slowest_s,
        peak_mib=peak_mib,
        finds=tuple(finds),
    )


def run(
    *,
    seconds: float,
    inputs: int = sys.maxsize,
    workers: int | None = None,
    seed: int | None = None,
) -> Done:
    """Feed mutated inputs until the time is over or there were so many."""
    count = workers or len(os.sched_getaffinity(0))
    first = random.SystemRandom().randrange(2**32) if seed is None else seed
    begin_s = time.monotonic()
    # Fresh processes: their memory is their own.
    spawning = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(count, mp_context=spawning) as pool:
        until_s = begin_s + seconds
        shares = [
            pool.submit(_share, first + number, until_s, -(-inputs // count))
            for number in range(count)
        ]
        done = [share.result() for share in shares]
    return Done(
        inputs=sum(one.inputs for one in done),
        planned=sum(one.planned for one in done),
        seconds=time.monotonic() - begin_s,
        slowest_s=max(one.slowest_s for one in done),
        peak_mib=max(one.peak_mib for one in done),
        finds=tuple(find for one in done for find in one.finds),
    )
