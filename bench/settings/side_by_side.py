"""Links measured at the same time, as many as the machine carries, each in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from bench import leaving
from bench.settings.cases import Case
from hps.errors import HpsError

Measure = Callable[[Case], Mapping[str, Any]]
# Its processes, its link and its folders are taken down within this time.
_ENDS_WITHIN_S = 60.0
_SPAWNING = multiprocessing.get_context("spawn")


class CaseError(HpsError):
    """A link was not measured to its end; `exit_code` is that of its process."""

    def __init__(self, case: Case, exit_code: int) -> None:
        super().__init__(f"{case.name}: not measured", hint="its process said why, above")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class _Running:
    case: Case
    process: SpawnProcess
    answer: Connection

    def result(self) -> Mapping[str, Any]:
        """Raises `CaseError` where the process ended without one."""
        try:
            found: Mapping[str, Any] = self.answer.recv()
        except EOFError:
            self.process.join(_ENDS_WITHIN_S)
            raise CaseError(self.case, self.process.exitcode or 1) from None
        return found

    def end(self) -> None:
        """Have it take down what it made, if it still runs."""
        self.process.terminate()
        self.process.join(_ENDS_WITHIN_S)
        self.process.kill()


def measured(
    cases: Sequence[Case], measure: Measure, *, most_mbps: float
) -> Iterator[tuple[Case, Mapping[str, Any]]]:
    """Each case and what came of it, in the order in which they end.

    One begins when all that are at work carry at most `most_mbps` together, or when none is.
    Raises `CaseError` where one fails; the others are ended then, as where the caller stops.
    """
    waiting, running = list(cases), list[_Running]()
    with contextlib.ExitStack() as stack:
        while waiting or running:
            while (case := _next(waiting, running, most_mbps)) is not None:
                waiting.remove(case)
                running.append(_start(case, measure))
                stack.callback(running[-1].end)
            for one in [one for one in running if one.answer in _answered(running)]:
                yield one.case, one.result()
                running.remove(one)


def _next(waiting: Sequence[Case], running: Sequence[_Running], most_mbps: float) -> Case | None:
    free_mbps = most_mbps - sum(one.case.most_mbps() for one in running)
    fits = (case for case in waiting if not running or case.most_mbps() <= free_mbps)
    return next(fits, None)


def _start(case: Case, measure: Measure) -> _Running:
    answer, sending = _SPAWNING.Pipe(duplex=False)
    process = _SPAWNING.Process(target=_work, args=(case, measure, sending))
    process.start()
    sending.close()  # the process has its own: when that ends, so does the answer
    return _Running(case, process, answer)


def _answered(running: Sequence[_Running]) -> list[object]:
    """Waits for as long as a case takes: its own commands have the time-outs."""
    return list(wait([one.answer for one in running]))


def _work(case: Case, measure: Measure, sending: Connection) -> None:
    os.setpgrp()  # Ctrl-C reaches only the parent, which then ends this process in order

    def main() -> int:
        sending.send(measure(case))
        return 0

    sys.exit(leaving.told(main))
