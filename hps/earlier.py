"""What an earlier run of the same experiment has left to do. Reads journals; changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import HpsError
from hps.model import Operation, Plan
from hps.record import Record
from hps.store import lines

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
        found = _read(path, (one for one in lines.each(path, bad) if _is_of_run(one, path)))
    except OSError:
        return None  # what can't be read proves nothing
    if bad and remark is not None:
        remark(path, lines.remark(bad))
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
