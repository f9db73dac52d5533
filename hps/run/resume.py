"""Which run this is: a new run, or one that was ended before it had done everything.

this machine's journals, on disk and in the bucket -> the newest of this plan -> what is to be done
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

from hps.errors import HpsError, NotStoredError
from hps.model import Failure, Operation, Plan
from hps.results import journal, lock
from hps.results.journal import Journal
from hps.results.lock import RunLock
from hps.results.record import Record, RunIdentity, new_run_id
from hps.run.session import Session
from hps.run_folder import is_run_id
from hps.targets.bucket import Link
from hps.targets.sender import SILENT_S
from hps.units import format_time

_FETCH_TIMEOUT_S = 60.0
# Of the client, for the names of some hundred thousand objects.
_FETCH_MOST_BYTES = 256 * 1024**2

# -------------------------------------------------------------------------------------------------
# Earlier runs of the same experiment, and what remains to be done of them. Only reads.

# What `--rerun` takes, and the statuses that each stands for.
RERUN: Mapping[str, frozenset[str]] = {
    "failed": frozenset({"failed", "timeout", "skipped"}),
    "invalid": frozenset({"invalid"}),
    "missing": frozenset(),
    "all": frozenset({"ok", "failed", "timeout", "skipped", "invalid"}),
}
# JSON of an operation's step, the step's place in the trial, and the cell.
_Fingerprint = str
Remark = Callable[[Path, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An operation to do. Not `recorded`: it is done again only for what builds on it."""

    operation: Operation
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRun:
    """A run that began before: its first line, and the status of each operation that ended.

    `given_up` has the operations that were not measured for a mistake of the experiment, where the
    run gave up for it. `fingerprints` shows what each operation was, by its id.
    """

    journal: Path
    run: Record
    ended: Mapping[str, str]
    given_up: frozenset[str] = frozenset()
    fingerprints: Mapping[str, _Fingerprint] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """The id of the run, which is also the name of its journal."""
        return str(self.run["run_id"])

    def remaining_tasks(self, plan: Plan, rerun: Iterable[str] = ()) -> tuple[Task, ...]:
        """What remains to be done of the plan, and what is done again by `rerun`, see `RERUN`."""
        again = frozenset().union(*(RERUN[what] for what in rerun))
        done = {name for name, status in self.ended.items() if status not in again}
        done -= self.given_up
        return list_tasks(plan.operations, done)


def list_tasks(operations: Sequence[Operation], done: Iterable[str] = ()) -> tuple[Task, ...]:
    """Every operation that is not done, and again those that it builds on, in the plan's order."""
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


def find_newest(
    plan: Plan, folders: Iterable[Path], remark: Remark | None = None, fleet: str = ""
) -> EarlierRun | None:
    """The newest run of this plan that was not rejected, in one machine's `folders`.

    One for another fleet is none: what was measured for that counts there.
    """
    for earlier in _from_the_newest(folders, remark=remark):
        if _is_of(earlier, plan) and _fleet_of(earlier.run) == fleet:
            return earlier
    return None


def _fleet_of(run: Record) -> str:
    fleet = run.get("fleet")
    return str(fleet.get("name", "")) if isinstance(fleet, Mapping) else ""


def find_changed(plan: Plan, folder: Path) -> str:
    """The id of the newest run, where it is unfinished and of another version of the experiment."""
    last = next(_from_the_newest([folder]), None)
    if last is None or _rejected(last.run) or last.run.get("spec_sha256") == plan.spec.sha256:
        return ""
    planned = last.run.get("operations")
    return last.run_id if isinstance(planned, int) and len(last.ended) < planned else ""


def find_named(run_id: str, plan: Plan, folders: Iterable[Path]) -> EarlierRun:
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
) -> Iterator[EarlierRun]:
    """Read runs one by one, for a folder may have more journals than fit into memory.

    Of a run that is in several folders, the journal with the most results comes first.
    """
    paths: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.glob(names):
            paths.setdefault(path.stem, []).append(path)
    for run_id in sorted(paths, reverse=True):
        found = [earlier for path in paths[run_id] if (earlier := read(path, remark))]
        yield from sorted(found, key=lambda earlier: len(earlier.ended), reverse=True)


def read(path: Path, remark: Remark | None = None) -> EarlierRun | None:
    """The run of a journal; None where that can't be read, or has no first line.

    `remark` is called where there are lines that no run writes.
    """
    bad: dict[int, str] = {}
    try:
        records = (record for record in journal.each(path, bad) if _is_of_run(record, path))
        found = _read(path, records)
    except OSError:
        return None
    if bad and remark is not None:
        remark(path, journal.remark(bad))
    return found


def _is_of_run(record: Record, path: Path) -> bool:
    """True where a record belongs there: journals are named by run, folders by machine."""
    if record["kind"] == "run" and record["machine_id"] != path.parent.name:
        return False
    return record["run_id"] == path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class _LastResult:
    """The few fields that are needed of a result, for a run may have a hundred thousand."""

    status: str
    of_the_experiment: bool
    given_up: bool
    fingerprint: _Fingerprint


def _read(path: Path, records: Iterator[Record]) -> EarlierRun | None:
    run = next(records, None)
    if run is None or run["kind"] != "run":
        return None
    results: dict[str, _LastResult] = {}
    for record in records:
        if record["kind"] == "resume":
            run = {**run, "verdict": record.get("verdict")}
        if record["kind"] == "result":
            _add(results, record)
    return EarlierRun(
        journal=path,
        run=run,
        ended={name: last.status for name, last in results.items() if last.status != "interrupted"},
        given_up=_given_up(results),
        fingerprints={name: last.fingerprint for name, last in results.items()},
    )


def _fingerprint(step: object, step_index: object, cell: object) -> _Fingerprint:
    return sys.intern(json.dumps([step, step_index, cell], sort_keys=True))


def _add(results: dict[str, _LastResult], record: Record) -> None:
    """Keep what is needed of the last result of an operation, as `journal.latest` has it."""
    name, status = str(record["operation_id"]), str(record["status"])
    if name not in results or status != "interrupted":
        results[name] = _LastResult(
            status=sys.intern(status),
            of_the_experiment=record.get("reason_owner") == "experiment",
            given_up=bool(record.get("given_up")),
            fingerprint=_fingerprint(record["step"], record["step_index"], record["cell"]),
        )


def _given_up(results: Mapping[str, _LastResult]) -> frozenset[str]:
    """Operations that failed, or were not tried, for a mistake that may be corrected by now."""
    if not any(last.given_up for last in results.values()):
        return frozenset()
    return frozenset(
        name
        for name, last in results.items()
        if last.status in {"failed", "skipped"} and last.of_the_experiment
    )


def _is_of(earlier: EarlierRun, plan: Plan) -> bool:
    """True where all results are of this plan: anybody may have put the journal there."""
    planned = {operation.operation_id: operation for operation in plan.operations}
    same = earlier.run["spec_sha256"] == plan.spec.sha256
    same = same and earlier.run["experiment"] == plan.spec.name
    same = same and all(
        name in planned and _is_planned(fingerprint, planned[name])
        for name, fingerprint in earlier.fingerprints.items()
    )
    return same and not (_rejected(earlier.run) and not earlier.ended)


def _is_planned(fingerprint: _Fingerprint, operation: Operation) -> bool:
    cell = dict(operation.cell.axes)
    return fingerprint == _fingerprint(operation.step.kind, operation.step_index, cell)


def _rejected(run: Record) -> bool:
    verdict = run.get("verdict")
    if not isinstance(verdict, Mapping):
        return True  # it never began
    return not verdict.get("accepted") and verdict.get("action") != "continue"


# -------------------------------------------------------------------------------------------------
# Which of them is resumed, or whether a new run begins.


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """What is to be done of earlier runs, by the options of `hps run`.

    `once`: what is finished is not measured again, and what failed is tried again. `rerun` has
    names of `RERUN`; `run_id` is the run that is to be resumed. `fresh`: a new run begins.
    """

    once: bool = False
    fresh: bool = False
    rerun: tuple[str, ...] = ()
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisRun:
    """What will be done, under which name, and in which journal. `before` None: a new run.

    `lock` is the lock on the folder of the journal. `unread` is why the bucket's journals could not
    be read; empty: they were.
    """

    identity: RunIdentity
    journal: Path
    tasks: tuple[Task, ...]
    before: EarlierRun | None
    lock: RunLock
    unread: str = ""

    @property
    def machine_folder(self) -> str:
        """The name of the run's folder: the id of the machine that began it."""
        return self.journal.parent.name


def check_request(request: ResumeRequest) -> None:
    """Raises `HpsError` where `run_id` can't be the id of a run."""
    if request.run_id and not is_run_id(request.run_id):
        hint = "such as 20261122T101530123Z-5f3a9c04b7d1: see `hps results list`"
        raise HpsError(f"--resume: '{request.run_id}' is not the id of a run", hint)


def find_run(session: Session, request: ResumeRequest) -> ThisRun:
    """The run that this start carries out. Without tasks there is nothing to do.

    Raises `HpsError` where the run that was named can't be resumed.
    """
    machine = "*" if request.run_id else session.identity.machine_id
    unread = fetch(session, f"/{machine}/{request.run_id or '*'}.jsonl")
    if unread:
        session.listener.event("earlier_runs_unknown", reason=unread)
    found = None if request.fresh else _find_earlier(session, request)
    rerun = ("failed",) if request.once and not request.rerun else request.rerun
    tasks = found.remaining_tasks(session.plan, rerun) if found is not None else ()
    at_work = _why_at_work(found, session.fetched, writes=bool(tasks)) if found is not None else ""
    if found is not None and at_work:
        _refuse(request, at_work)
        reason = f"{at_work}; a new run begins"
        session.listener.event("earlier_run_at_work", run_id=found.run_id, reason=reason)
        found = None
    # Where no option says otherwise, an experiment that is started again is measured again.
    wanted = tasks or request.once or request.rerun or request.run_id
    if found is None or not wanted:
        return _new_run(session, unread)
    return ThisRun(
        identity=replace(session.identity, run_id=found.run_id),
        journal=session.home.parent / found.journal.parent.name / found.journal.name,
        tasks=tasks,
        before=found,
        lock=session.lock,
        unread=unread,
    )


def fetch(session: Session, wanted: str) -> str:
    """Copy the experiment's journals that `wanted` names from the bucket to `session.fetched`.

    Returns why that failed, or nothing. The embedded target has none: it ends with each run.
    """
    target, tools = session.results_target, session.tools
    unread = session.preflight.why_unusable(target)
    if unread or tools.targets[target].provider == "embedded":
        return unread
    link = tools.link(target, session.bucket_folder, session.stop)
    wrong = fetch_journals(link, wanted, session.fetched)
    return wrong.reason if wrong else ""


def fetch_journals(link: Link, wanted: str, into: Path) -> Failure | None:
    """Copy the journals below the link's folder that `wanted` names, such as `/machine/*.jsonl`.

    Returns why that failed.
    """
    call = link.get_matching(wanted, into)
    ended = link.run(
        call,
        timeout_s=_FETCH_TIMEOUT_S,
        name="fetch",
        stop=link.stop,
        most_bytes=_FETCH_MOST_BYTES,
    )
    return ended.failure


def _why_at_work(found: EarlierRun, fetched: Path, *, writes: bool) -> str:
    """Why a run may be at work, and must not be resumed; empty where it has ended.

    A run on another machine, with the same machine id, shows by its journal in the bucket alone:
    two that send under the same name would lose results. A run on this disk was begun or resumed
    here, and the process that works on it has its lock.
    """
    if lock.is_alive(found.run_id):
        return "it is at work on this machine"
    if not (writes and found.journal.is_relative_to(fetched)):
        return ""
    age_s = abs(time.time() - found.journal.stat().st_mtime)  # it is renewed while the run works
    if age_s >= SILENT_S:
        return ""
    age, silent = format_time(round(age_s)), format_time(SILENT_S)
    return (
        f"it may be at work on another machine, for its journal in the bucket is {age} old, "
        f"less than {silent}"
    )


def _refuse(request: ResumeRequest, at_work: str) -> None:
    if request.run_id or request.rerun:
        hint = "wait for its end, name another run with --resume, or begin a new one with --fresh"
        raise HpsError(f"the run can't go on: {at_work}", hint)


def restore_journal(this: ThisRun) -> None:
    """Copy the journal into the output folder where it came from the bucket.

    Raises `NotStoredError`.
    """
    place, temporary = this.journal, this.journal.with_suffix(journal.PUT_BACK)
    try:
        for path in place.parent.glob(f"*{journal.PUT_BACK}"):  # by a run that was killed here
            if is_run_id(path.stem):
                path.unlink()
        if this.before is not None and this.before.journal != place:
            shutil.copyfile(this.before.journal, temporary)
            temporary.replace(place)
    except OSError as error:
        raise NotStoredError(
            f"cannot write results to {place.parent}: {error.strerror}", "is the disk full?"
        ) from error


def _find_earlier(session: Session, request: ResumeRequest) -> EarlierRun | None:
    def remark(path: Path, why: str) -> None:
        place = f"{path.parent.name}/{path.name}"
        session.listener.event("lines_passed_over", path=place, reason=why)

    home, fetched = session.home, session.fetched
    if request.run_id:
        folders = [folder for place in (home.parent, fetched) for folder in place.glob("*/")]
        return find_named(request.run_id, session.plan, folders)
    fleet = session.member.fleet if session.member else ""
    return find_newest(session.plan, [home, fetched / home.name], remark, fleet)


def _new_run(session: Session, unread: str) -> ThisRun:
    home, identity = session.home, session.identity
    changed = find_changed(session.plan, home)
    if changed:
        reason = "a new run begins"
        session.listener.event("experiment_changed", unfinished_run=changed, reason=reason)
    last = _last_id([home, session.fetched / home.name])
    if last > identity.run_id:  # the clock was set back
        identity = replace(identity, run_id=new_run_id(datetime.now(UTC), after=last))
    return ThisRun(
        identity=identity,
        journal=home / f"{identity.run_id}.jsonl",
        tasks=list_tasks(session.plan.operations),
        before=None,
        lock=session.lock,
        unread=unread,
    )


def _last_id(folders: Iterable[Path]) -> str:
    """The last id of any run, finished or not; empty where there is none."""
    found = {path.stem for folder in folders for path in folder.glob("*.*")}
    return max((name for name in found if is_run_id(name) and _can_be_followed(name)), default="")


def _can_be_followed(run_id: str) -> bool:
    """False for digits that are no time, and for the last time that can be written."""
    try:
        new_run_id(datetime.now(UTC), after=run_id)
    except (ValueError, OverflowError):
        return False
    return True


# -------------------------------------------------------------------------------------------------
# The operation in which a run was ended: written to the lock as it begins, and read there later.


def find_interrupted(lock: RunLock, path: Path) -> Record | None:
    """The result of the operation in which the run of this journal was ended, from its lock.

    None where there is none, and where it has been stored before.
    """
    record = lock.before.get("if_interrupted")
    if not isinstance(record, dict) or journal.why_bad(record) or record["kind"] != "result":
        return None
    if record["run_id"] != path.stem:
        return None
    return None if _is_stored(record, path) else record


def record_interrupted(session: Session, resumed: Path | None = None) -> None:
    """Store the operation in which the lock's run was ended, unless that is to be resumed.

    `resumed` is the journal of the run that is to be. Raises `NotStoredError`.
    """
    run_id = str(session.lock.before.get("run_id"))
    path = session.home / f"{run_id}.jsonl"
    if path == resumed or not is_run_id(run_id) or lock.is_alive(run_id):
        return
    record = find_interrupted(session.lock, path) if read(path) is not None else None
    if record is not None:
        with Journal(path) as stored:
            stored.append(record)


def _is_stored(record: Record, path: Path) -> bool:
    """True where the operation has a result that began no earlier: this record, or a real one."""
    return any(
        stored.get("operation_id") == record["operation_id"]
        and str(stored.get("started_at")) >= str(record["started_at"])
        for stored in journal.each(path)
    )
