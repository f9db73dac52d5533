"""What a node of a fleet measures, and in which order: its share, or cells for some minutes.

A node with minutes takes the least covered cells in blocks of a few, and announces each block
before it begins it, so that what others count is true. Which cells it comes to isn't known before,
so that what is the same on the wire in two cells is measured in both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from hps.plan import share
from hps.results import journal
from hps.run.resume import Task, ThisRun
from hps.run.session import Session

# The cells beside those that are taken, at most so many; what dead nodes have measured is kept.
Choose = Callable[[Session, Collection[int], int, dict[str, set[int]]], tuple[int, ...]]


@dataclass(slots=True, kw_only=True)
class ShareTasks:
    """The tasks of a node. `taken` has the numbers of the cells that it has announced.

    `spent_s` is how long its operations took in earlier starts of the run; the time of this one
    counts from `begin`.
    """

    session: Session
    tasks: Sequence[Task]
    taken: set[int]
    choose: Choose
    spent_s: float = 0.0
    _since_s: float = field(default_factory=time.monotonic)
    _began: bool = False
    _measured: dict[str, set[int]] = field(default_factory=dict)

    def begin(self) -> Sequence[Task]:
        """What is to be done first: all, or what remains of the blocks taken so far."""
        self._since_s = time.monotonic()
        return self._of(self.taken) if self._for_s else self.tasks

    def more(self) -> Sequence[Task]:
        """The next block, announced; none once time is over, though one in each start at least.

        All that was taken is done by then.
        """
        for_s, stop = self._for_s, self.session.stop
        if for_s is None or stop.is_set():
            return ()
        spent_s = self.spent_s + time.monotonic() - self._since_s
        size = share.block_size(len(self.taken), spent_s, for_s)
        size = size if self._began else max(1, size)
        cells = self.choose(self.session, self.taken, size, self._measured) if size else ()
        self.taken |= set(cells)
        tasks = self._of(cells)
        if tasks:
            count = len(self.session.plan.operations) * len(self.taken) // self._cells
            event = self.session.listener.event
            event("fleet_cells_taken", cells=len(cells), taken=len(self.taken), operations=count)
        return tasks

    @property
    def _for_s(self) -> float | None:
        return self.session.member.for_s if self.session.member else None

    @property
    def _cells(self) -> int:
        return len(self.session.plan.cells)

    def _of(self, cells: Collection[int]) -> list[Task]:
        numbers = share.cell_numbers(self.session.plan)
        found = [
            task
            for task in self.tasks
            if numbers[share.cell_name(task.operation.cell.axes)] in cells
        ]
        self._began |= bool(found)
        return found


def open_share(session: Session, this: ThisRun, choose: Choose) -> ShareTasks:
    """The share of this node, of which some may have been measured by earlier starts.

    `choose` announces what it returns.
    """
    member = session.member
    spent_s = 0.0
    if member is not None and member.for_s is not None and this.before is not None:
        results = (one for one in journal.each(this.journal, {}) if one["kind"] == "result")
        spent_s = sum((float(str(one["duration_s"] or 0)) for one in results), 0.0)
    taken = set(member.cells) if member is not None else set[int]()
    return ShareTasks(
        session=session, tasks=this.tasks, taken=taken, choose=choose, spent_s=spent_s
    )
