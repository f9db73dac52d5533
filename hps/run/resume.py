"""Which run goes on: a new one, or one that was ended before it had done everything.

this machine's journals, on disk and in the bucket -> the newest of this plan -> what it has left
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps.catalog.failures import failure
from hps.errors import HpsError, NotStoredError
from hps.model import Measurement, Operation, Plan
from hps.results import journal, lock
from hps.results.lock import RunLock
from hps.results.record import Record, RunIdentity, new_run_id, result_record
from hps.run import admission
from hps.run_folder import is_run_id
from hps.units import format_time

# -------------------------------------------------------------------------------------------------
# What an earlier run of the same experiment has left to do. Reads journals; changes nothing.

# What `--rerun` takes, and the statuses that each stands for.
RERUN: Mapping[str, frozenset[str]] = {
    "failed": frozenset({"failed", "timeout", "skipped"}),
    "invalid": frozenset({"invalid"}),
    "missing": frozenset(),
    "all": frozenset({"ok", "failed", "timeout", "skipped", "invalid"}),
}
# Which step was done, its place in the trial, and the cell, as one text.
_What = str
Remark = Callable[[Path, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An operation to do. Not `recorded`: it is done only for what builds on it."""

    operation: Operation
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A run that began before: its first line, and the status of each operation that ended.

    `given_up` are those that a mistake of the experiment kept from being measured, where the run
    left the rest for it. `did` says what each operation was.
    """

    journal: Path
    run: Record
    ended: Mapping[str, str]
    given_up: frozenset[str] = frozenset()
    did: Mapping[str, _What] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """Its id, which is also the name of its file."""
        return str(self.run["run_id"])

    def left(self, plan: Plan, rerun: Iterable[str] = ()) -> tuple[Task, ...]:
        """What is still to be done of the plan, and what `rerun` wants done again."""
        again = frozenset().union(*(RERUN[what] for what in rerun))
        done = {name for name, status in self.ended.items() if status not in again}
        done -= self.given_up
        return tasks(plan.operations, done)


def tasks(operations: Sequence[Operation], done: Iterable[str] = ()) -> tuple[Task, ...]:
    """Every operation that is not done, and before it again what it builds on."""
    done = set(done)
    by_id = {operation.operation_id: operation for operation in operations}
    needed: set[str] = set()
    waiting = [name for name in by_id if name not in done]
    while waiting:
        fresh = set(by_id[waiting.pop()].depends_on) - needed
        needed |= fresh
        waiting += fresh
    return tuple(
        Task(operation=operation, recorded=name not in done)
        for name, operation in by_id.items()
        if name not in done or name in needed
    )


def newest(plan: Plan, folders: Iterable[Path], remark: Remark | None = None) -> Earlier | None:
    """The newest run of this very plan that was not rejected. `folders` hold one machine's."""
    for earlier in _from_the_newest(folders, remark=remark):
        if _is_of(earlier, plan):
            return earlier
    return None


def changed(plan: Plan, folder: Path) -> str:
    """The id of the newest run where it is unfinished, and of another version of the experiment."""
    last = next(_from_the_newest([folder]), None)
    if last is None or _rejected(last.run) or last.run.get("spec_sha256") == plan.spec.sha256:
        return ""
    planned = last.run.get("operations")
    return last.run_id if isinstance(planned, int) and len(last.ended) < planned else ""


def named(run_id: str, plan: Plan, folders: Iterable[Path]) -> Earlier:
    """The run of this id. Raises `HpsError` where there is none, or one of another plan."""
    best = next(_from_the_newest(folders, f"{run_id}.jsonl"), None)
    if best is None:
        hint = "see `hps results list`; without --resume the newest run of this machine goes on"
        raise HpsError(f"there is no run {run_id} of {plan.spec.name}", hint)
    if not _is_of(best, plan):
        hint = "resume it with the file, --set and variables that it began with, or begin a new run"
        raise HpsError(f"run {run_id} is of another version of {plan.spec.name}", hint)
    return best


def _from_the_newest(
    folders: Iterable[Path], names: str = "*.jsonl", remark: Remark | None = None
) -> Iterator[Earlier]:
    """Runs as they are asked for: a folder may hold more journals than can be held at once.

    Of a run that is in several folders the one that got furthest comes first.
    """
    paths: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.glob(names):
            paths.setdefault(path.stem, []).append(path)
    for run_id in sorted(paths, reverse=True):
        found = [earlier for path in paths[run_id] if (earlier := read(path, remark))]
        yield from sorted(found, key=lambda earlier: len(earlier.ended), reverse=True)


def read(path: Path, remark: Remark | None = None) -> Earlier | None:
    """The run that a journal is of; None where that can't be read, or never got its first line.

    `remark` is told of lines that are none of ours.
    """
    bad: dict[int, str] = {}
    try:
        found = _read(path, (one for one in journal.each(path, bad) if _is_of_run(one, path)))
    except OSError:
        return None  # what can't be read proves nothing
    if bad and remark is not None:
        remark(path, journal.remark(bad))
    return found


def _is_of_run(record: Record, path: Path) -> bool:
    """A journal is called like its run, and is in the folder of the machine that began it."""
    if record["kind"] == "run" and record["machine_id"] != path.parent.name:
        return False
    return record["run_id"] == path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What is kept of an operation's result: a run may have a hundred thousand."""

    status: str
    of_the_experiment: bool
    given_up: bool
    what: _What


def _read(path: Path, records: Iterator[Record]) -> Earlier | None:
    run = next(records, None)
    if run is None or run["kind"] != "run":
        return None
    results: dict[str, _Last] = {}
    for record in records:
        if record["kind"] == "resume":
            run = {**run, "verdict": record.get("verdict")}
        if record["kind"] == "result":
            _add(results, record)
    return Earlier(
        journal=path,
        run=run,
        ended={name: one.status for name, one in results.items() if one.status != "interrupted"},
        given_up=_given_up(results),
        did={name: one.what for name, one in results.items()},
    )


def _what(step: object, step_index: object, cell: object) -> _What:
    return sys.intern(json.dumps([step, step_index, cell], sort_keys=True))


def _add(results: dict[str, _Last], record: Record) -> None:
    """Keep what is needed of the last result of an operation, as `journal.settled` has it."""
    name, status = str(record["operation_id"]), str(record["status"])
    if name not in results or status != "interrupted":
        results[name] = _Last(
            status=sys.intern(status),
            of_the_experiment=record.get("reason_owner") == "experiment",
            given_up=bool(record.get("given_up")),
            what=_what(record["step"], record["step_index"], record["cell"]),
        )


def _given_up(results: Mapping[str, _Last]) -> frozenset[str]:
    """Those that failed, or were not tried, for a mistake that may have been mended since."""
    if not any(one.given_up for one in results.values()):
        return frozenset()
    return frozenset(
        name
        for name, one in results.items()
        if one.status in {"failed", "skipped"} and one.of_the_experiment
    )


def _is_of(earlier: Earlier, plan: Plan) -> bool:
    """A journal that anybody may have put there counts only where it is of this very plan."""
    planned = {operation.operation_id: operation for operation in plan.operations}
    same = earlier.run["spec_sha256"] == plan.spec.sha256
    same = same and earlier.run["experiment"] == plan.spec.name
    same = same and all(
        name in planned and _is_planned(what, planned[name]) for name, what in earlier.did.items()
    )
    return same and not (_rejected(earlier.run) and not earlier.ended)


def _is_planned(what: _What, operation: Operation) -> bool:
    cell = dict(operation.cell.axes)
    return what == _what(operation.step.kind, operation.step_index, cell)


def _rejected(run: Record) -> bool:
    verdict = run.get("verdict")
    if not isinstance(verdict, Mapping):
        return True  # it never began
    return not verdict.get("accepted") and verdict.get("action") != "continue"


# -------------------------------------------------------------------------------------------------

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
    if lock.is_alive(found.run_id):
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
    if not isinstance(record, dict) or journal.why_bad(record) or record["kind"] != "result":
        return None
    if record["run_id"] != path.stem:
        return None
    return None if _has(path, record) else record


def _has(path: Path, record: Record) -> bool:
    """True where the operation has a result that began no earlier: this one, or its own."""
    return any(
        stored.get("operation_id") == record["operation_id"]
        and str(stored.get("started_at")) >= str(record["started_at"])
        for stored in journal.each(path)
    )


def _found(
    plan: Plan, wish: Wish, home: Path, here: Path, fetched: Path, event: admission.Event
) -> Earlier | None:
    def remark(path: Path, why: str) -> None:
        event("lines_passed_over", path=f"{path.parent.name}/{path.name}", reason=why)

    if wish.run_id:
        folders = [folder for place in (home, fetched) for folder in place.glob("*/")]
        return named(wish.run_id, plan, folders)
    return newest(plan, [here, fetched / here.name], remark)


def _new(
    plan: Plan, identity: RunIdentity, here: Path, fetched: Path, event: admission.Event
) -> TakenUp:
    other = changed(plan, here)
    if other:
        event("experiment_changed", unfinished_run=other, reason="a new run begins")
    last = _last_id([here, fetched / here.name])
    if last > identity.run_id:  # the clock was set back; its own mark is no earlier run
        identity = replace(identity, run_id=new_run_id(datetime.now(UTC), after=last))
    return TakenUp(
        identity=identity,
        journal=here / f"{identity.run_id}.jsonl",
        tasks=tasks(plan.operations),
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
