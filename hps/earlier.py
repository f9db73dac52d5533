"""What an earlier run of the same experiment has left to do. Reads journals; changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.errors import HpsError
from hps.model import Operation, Plan
from hps.record import Record
from hps.store import journal

# What `--rerun` takes, and the statuses that each stands for.
RERUN: Mapping[str, frozenset[str]] = {
    "failed": frozenset({"failed", "timeout", "skipped"}),
    "invalid": frozenset({"invalid"}),
    "missing": frozenset(),
    "all": frozenset({"ok", "failed", "timeout", "skipped", "invalid"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An operation to do. Not `recorded`: it is done only for what builds on it."""

    operation: Operation
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A run that began before: its first line, and the status of each operation that ended.

    `given_up` are those that a mistake of the experiment kept from being measured, where the run
    left the rest for it.
    """

    journal: Path
    run: Record
    ended: Mapping[str, str]
    given_up: frozenset[str] = frozenset()

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


def newest(plan: Plan, folders: Iterable[Path]) -> Earlier | None:
    """The newest run of this very plan that was not rejected. `folders` hold one machine's."""
    for earlier in _from_the_newest(folders):
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


def _from_the_newest(folders: Iterable[Path], names: str = "*.jsonl") -> Iterator[Earlier]:
    """Runs as they are asked for: a folder may hold more journals than can be held at once.

    Of a run that is in several folders the one that got furthest comes first.
    """
    paths: dict[str, list[Path]] = {}
    for folder in folders:
        for path in folder.glob(names):
            paths.setdefault(path.stem, []).append(path)
    for run_id in sorted(paths, reverse=True):
        found = [earlier for path in paths[run_id] if (earlier := read(path)) is not None]
        yield from sorted(found, key=lambda earlier: len(earlier.ended), reverse=True)


def read(path: Path) -> Earlier | None:
    """The run that a journal is of; None where that can't be read, or never got its first line."""
    try:
        return _read(path, journal.read(path))
    except (HpsError, OSError):
        return None  # what can't be read proves nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What is kept of an operation's result: a run may have a hundred thousand."""

    status: str
    of_the_experiment: bool
    given_up: bool


def _read(path: Path, records: Iterator[Record]) -> Earlier | None:
    run = next(records, None)
    if run is None or run.get("kind") != "run" or run.get("run_id") != path.stem:
        return None
    results: dict[str, _Last] = {}
    for record in records:
        if record.get("kind") == "resume":
            run = {**run, "verdict": record.get("verdict")}
        if record.get("kind") == "result" and not _add(results, record):
            return None  # a bucket may hold what we never wrote
    ended = {name: one.status for name, one in results.items() if one.status != "interrupted"}
    return Earlier(journal=path, run=run, ended=ended, given_up=_given_up(results))


def _add(results: dict[str, _Last], record: Record) -> bool:
    """Keep what is needed of the last result of an operation, as `journal.settled` has it."""
    name, status = record.get("operation_id"), record.get("status")
    if not (isinstance(name, str) and isinstance(status, str)):
        return False
    if name not in results or status != "interrupted":
        results[name] = _Last(
            status=sys.intern(status),
            of_the_experiment=record.get("reason_owner") == "experiment",
            given_up=bool(record.get("given_up")),
        )
    return True


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
    planned = {operation.operation_id for operation in plan.operations}
    same = earlier.run.get("spec_sha256") == plan.spec.sha256 and set(earlier.ended) <= planned
    return same and not (_rejected(earlier.run) and not earlier.ended)


def _rejected(run: Record) -> bool:
    verdict = run.get("verdict")
    if not isinstance(verdict, Mapping):
        return True  # it never began
    return not verdict.get("accepted") and verdict.get("action") != "continue"
