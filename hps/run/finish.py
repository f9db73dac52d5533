"""Runs that ended before everything of theirs was in order: in the bucket, and out of it.

An empty file beside a journal says so. It is made before the run has anything to lose, and removed
once journal, CSV and table have reached the bucket and nothing of the run's data is left in any.
However a run ends, whichever run comes next in the same folder makes up for it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hps.errors import NotStoredError
from hps.model import Plan
from hps.process import process
from hps.process.stop import SignalStop
from hps.results.journal import Journal
from hps.run import recorder, resume
from hps.run.environment import Tools
from hps.run_folder import is_run_id, run_folder
from hps.targets import cleanup
from hps.targets.sender import BucketCopy

SUFFIX = ".open"
_SEND_MOST_S = 30.0
_REMOVE_TIMEOUT_S = 60.0
_REMOVE_FILE_S = 0.05


def begin(journal: Path) -> None:
    """Mark a run that is about to begin, or to go on. Raises `NotStoredError`."""
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.with_suffix(SUFFIX).touch()
    except OSError as error:
        raise NotStoredError(
            f"cannot write results to {journal.parent}: {error.strerror}",
            "name a folder that can be written with --output",
        ) from error


def end(journal: Path) -> None:
    """Everything of this run is in order. Raises `NotStoredError`."""
    try:
        journal.with_suffix(SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        raise NotStoredError(f"cannot write to {journal.parent}: {error.strerror}") from error


def open_journals(folder: Path) -> list[Path]:
    """The journals of the runs in a folder that are marked, oldest first; some may be missing."""
    marks = sorted(folder.glob(f"*{SUFFIX}"))
    return [
        mark.with_suffix(".jsonl")
        for mark in marks
        if is_run_id(mark.stem) and stat.S_ISREG(mark.lstat().st_mode)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settler:
    """Puts runs in order. `fetched` is where the bucket's journals are, by machine."""

    plan: Plan
    tools: Tools
    render: Callable[[Path], Mapping[str, str]]
    stop: SignalStop
    listener: recorder.Listener
    fetched: Path

    def settle(self, journals: Sequence[Path], folder: str) -> dict[str, str]:
        """Make up for runs of one machine, whose results belong to `folder` in the bucket.

        After one that can't be sent the others are not tried. Returns why the bucket lacks
        results, by the run's id.
        """
        lacking: dict[str, str] = {}
        wrong, target = "", self.plan.spec.results.target
        with recorder.bucket_copy(target, folder, self.tools, self.listener, self.stop) as bucket:
            for journal in journals:
                wrong = wrong or self._send(journal, bucket)
                if wrong:
                    lacking[journal.stem] = wrong
                elif self.remove_leftovers(journal.stem, self.stop):
                    self._tell_elsewhere(journal)
                    end(journal)
        return lacking

    def _send(self, journal: Path, bucket: BucketCopy) -> str:
        """Returns why the bucket lacks results of this run, or nothing."""
        if self.stop.is_set():
            return "the run was stopped before they were sent"
        if not journal.is_file():
            return ""
        with Journal(journal):
            pass  # a line that was cut off is taken away, and a journal without any
        ours = resume.read(journal)
        theirs = resume.read(self.fetched / journal.parent.name / journal.name)
        if ours is None:
            if journal.is_file():
                why = f"{journal} can't be read as results, and is not sent"
                self.listener.event("earlier_run_unreadable", run_id=journal.stem, reason=why)
            return ""
        if theirs is not None and len(theirs.ended) > len(ours.ended):
            return ""  # another machine has gone on with this run
        wrong = recorder.publish(journal, bucket, self.render, self.stop, most_s=_SEND_MOST_S)
        if not wrong:
            self.listener.event("results_sent_later", run_id=journal.stem)
        return wrong

    def _tell_elsewhere(self, journal: Path) -> None:
        """Where a run may have left something out of reach: targets that are named no more."""
        read = resume.read(journal)
        then = read.run.get("targets") if read is not None else None
        now = {_place(asdict(target)) for target in self.plan.spec.targets.values()}
        places = then if isinstance(then, Mapping) else {}
        for name, target in places.items():
            known = not isinstance(target, Mapping) or _place(target) in now
            if not known and target.get("provider") != "embedded":
                why = f"{name} was another place: `hps clean` with the file of that run looks there"
                self.listener.event("earlier_run_elsewhere", run_id=journal.stem, reason=why)

    def remove_leftovers(self, run_id: str, stop: process.Stop) -> bool:
        """Remove what a run left in its own folder of each target. True: nothing is left."""
        plan, operations = self.plan, self.plan.operations
        names = {operation.cell.knobs.target for operation in operations}
        # The last one is checked before a run, also where no operation uses it.
        names |= {plan.spec.node.probe.target or "", plan.spec.results.target} - {""}
        most_files = max((operation.cell.knobs.files for operation in operations), default=1)
        folder = run_folder(plan.spec.name, run_id)
        done = [
            cleanup.remove(
                self.tools.link(name, folder.key, stop),
                timeout_s=_REMOVE_TIMEOUT_S + _REMOVE_FILE_S * most_files,
                stop=stop,
                event=self.listener.event,
            )
            for name in sorted(names)
            if plan.spec.targets[name].provider != "embedded"
        ]
        return all(done)


def _place(target: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(str(target.get(name)) for name in ("endpoint", "bucket", "folder"))
