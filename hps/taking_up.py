"""Which run goes on: a new one, or one that was ended before it had done everything.

this machine's journals, on disk and in the bucket -> the newest of this plan -> what it has left
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hps import admission, earlier
from hps.catalog.failures import failure
from hps.earlier import Earlier, Task
from hps.errors import HpsError, NotStoredError
from hps.model import Measurement, Operation, Plan
from hps.record import Record, RunIdentity, new_run_id, result_record
from hps.store import alive, journal, lines
from hps.store.lock import RunLock
from hps.targets.own import is_run_id
from hps.units import format_time

# A run at work stores a line after each operation. A journal that is in the bucket alone, and
# younger, may be that of a second container with the same machine id: what both of them sent
# under one name would be lost.
_SILENT_S = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the person who starts a run wants of earlier ones.

    `once`: what is finished is not measured again, and what failed is tried again. `rerun` names
    kinds of `earlier.RERUN`; `run_id` the run to go on with. `fresh`: none of it.
    """

    once: bool = False
    fresh: bool = False
    rerun: tuple[str, ...] = ()
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """What will be done, under which name, and in which journal. `before` None: a new run."""

    identity: RunIdentity
    journal: Path
    tasks: tuple[Task, ...]
    before: Earlier | None

    @property
    def machine_folder(self) -> str:
        """The name of the folder that the run is kept in: that of the machine that began it."""
        return self.journal.parent.name


def check(wish: Wish) -> None:
    """Raises `HpsError` where the run that is wished for can't be any."""
    if wish.run_id and not is_run_id(wish.run_id):
        hint = "such as 20261122T101530123Z-5f3a9c04b7d1: see `hps results list`"
        raise HpsError(f"--resume: '{wish.run_id}' is not the id of a run", hint)


def take_up(
    plan: Plan,
    identity: RunIdentity,
    output: Path,
    wish: Wish,
    event: admission.Event,
    fetched: Path,
) -> TakenUp:
    """The run that goes on; `identity` is that of a new one. No tasks: there is nothing to do.

    `fetched` holds journals from the bucket in a folder for each machine. Raises `HpsError` where
    the run that was named can't go on.
    """
    home = output / identity.experiment
    here = home / identity.machine_id
    found = None if wish.fresh else _found(plan, wish, home, here, fetched, event)
    rerun = ("failed",) if wish.once and not wish.rerun else wish.rerun
    left = found.left(plan, rerun) if found is not None else ()
    at_work = _why_at_work(found, fetched, writes=bool(left)) if found is not None else ""
    if found is not None and at_work:
        _refuse(wish, at_work)
        event("earlier_run_at_work", run_id=found.run_id, reason=f"{at_work}; a new run begins")
        found = None
    if found is None:
        return _new(plan, identity, here, fetched, event)
    if not (left or wish.once or wish.rerun or wish.run_id):
        # A person who runs it again wants it measured.
        return _new(plan, identity, here, fetched, event)
    return TakenUp(
        identity=replace(identity, run_id=found.run_id),
        journal=home / found.journal.parent.name / found.journal.name,
        tasks=left,
        before=found,
    )


def _why_at_work(found: Earlier, fetched: Path, *, writes: bool) -> str:
    """Why a run may be at work, and must not be gone on with; empty where it has ended.

    On another machine it shows by its journal in the bucket alone. One that is on this disk was
    begun here, or taken up here, and whoever works on it holds its lock.
    """
    if alive.is_alive(found.run_id):
        return "it is at work on this machine"
    if not (writes and found.journal.is_relative_to(fetched)):
        return ""
    age_s = abs(time.time() - found.journal.stat().st_mtime)  # that of its last line
    if age_s >= _SILENT_S:
        return ""
    age, silent = format_time(round(age_s)), format_time(_SILENT_S)
    return (
        f"it may be at work on another machine, for its journal in the bucket is {age} old, "
        f"less than {silent}"
    )


def _refuse(wish: Wish, at_work: str) -> None:
    if wish.run_id or wish.rerun:
        hint = "wait for its end, name another run with --resume, or begin a new one with --fresh"
        raise HpsError(f"the run can't go on: {at_work}", hint)


def restore(taken: TakenUp) -> None:
    """Bring the journal into the output folder where it came from the bucket.

    Raises `NotStoredError`.
    """
    place, temporary = taken.journal, taken.journal.with_suffix(journal.PUT_BACK)
    try:
        for left in place.parent.glob(f"*{journal.PUT_BACK}"):  # by a run that was killed here
            if is_run_id(left.stem):
                left.unlink()
        if taken.before is not None and taken.before.journal != place:
            shutil.copyfile(taken.before.journal, temporary)
            temporary.replace(place)
    except OSError as error:
        raise NotStoredError(
            f"cannot write results to {place.parent}: {error.strerror}", "is the disk full?"
        ) from error


def if_interrupted(identity: RunIdentity, operation: Operation, started_at: str) -> Record:
    """The result of an operation that begins now, should the run be ended in it.

    A lock tells it to whichever run comes next, which need not know the plan.
    """
    ended = failure("stopped", "hps was ended while it ran")
    measurement = Measurement(status="interrupted", failure=ended, started_at=started_at)
    return result_record(identity, operation, measurement)


def interrupted(lock: RunLock, path: Path) -> Record | None:
    """The result of the operation that the run of this journal was ended in, as its lock tells.

    None, too, where it has been stored before.
    """
    record = lock.before.get("if_interrupted")
    if not isinstance(record, dict) or lines.why_bad(record) or record["kind"] != "result":
        return None
    if record["run_id"] != path.stem:
        return None
    return None if _has(path, record) else record


def _has(path: Path, record: Record) -> bool:
    """True where the operation has a result that began no earlier: this one, or its own."""
    return any(
        stored.get("operation_id") == record["operation_id"]
        and str(stored.get("started_at")) >= str(record["started_at"])
        for stored in lines.each(path)
    )


def _found(
    plan: Plan, wish: Wish, home: Path, here: Path, fetched: Path, event: admission.Event
) -> Earlier | None:
    def remark(path: Path, why: str) -> None:
        event("lines_passed_over", path=f"{path.parent.name}/{path.name}", reason=why)

    if wish.run_id:
        folders = [folder for place in (home, fetched) for folder in place.glob("*/")]
        return earlier.named(wish.run_id, plan, folders)
    return earlier.newest(plan, [here, fetched / here.name], remark)


def _new(
    plan: Plan, identity: RunIdentity, here: Path, fetched: Path, event: admission.Event
) -> TakenUp:
    other = earlier.changed(plan, here)
    if other:
        event("experiment_changed", unfinished_run=other, reason="a new run begins")
    last = _last_id([here, fetched / here.name])
    if last > identity.run_id:  # the clock was set back; its own mark is no earlier run
        identity = replace(identity, run_id=new_run_id(datetime.now(UTC), after=last))
    return TakenUp(
        identity=identity,
        journal=here / f"{identity.run_id}.jsonl",
        tasks=earlier.tasks(plan.operations),
        before=None,
    )


def _last_id(folders: Iterable[Path]) -> str:
    """The last id of any run, ended or not; empty where there is none."""
    found = {path.stem for folder in folders for path in folder.glob("*.*")}
    return max((name for name in found if is_run_id(name) and _can_be_followed(name)), default="")


def _can_be_followed(run_id: str) -> bool:
    """False for digits that are no time of day, and for the end of all time."""
    try:
        new_run_id(datetime.now(UTC), after=run_id)
    except (ValueError, OverflowError):
        return False
    return True
