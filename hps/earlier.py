"""What an earlier run of the same experiment has left to do. Reads journals; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import HpsError
from hps.model import Operation, Plan
from hps.record import Record
from hps.store import journal, lines

# What `--rerun` takes, and the statuses that each stands for.
RERUN: Mapping[str, frozenset[str]] = {
    "failed": frozenset({"failed", "timeout", "skipped"}),
    "invalid": frozenset({"invalid"}),
    "missing": frozenset(),
    "all": frozenset({"ok", "failed", "timeout", "skipped", "invalid"}),
}
# Which step was done, its place in the trial, and the cell.
_What = tuple[str, int, Mapping[str, object]]
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
    every = (earlier for folder in folders for earlier in _all(folder, remark))
    found = [earlier for earlier in every if _is_of(earlier, plan)]
    return max(found, key=lambda earlier: (earlier.run_id, len(earlier.ended)), default=None)


def changed(plan: Plan, folder: Path) -> str:
    """The id of the newest run where it is unfinished, and of another version of the experiment."""
    last = max(_all(folder), key=lambda earlier: earlier.run_id, default=None)
    if last is None or _rejected(last.run) or last.run.get("spec_sha256") == plan.spec.sha256:
        return ""
    planned = last.run.get("operations")
    return last.run_id if isinstance(planned, int) and len(last.ended) < planned else ""


def named(run_id: str, plan: Plan, folders: Iterable[Path]) -> Earlier:
    """The run of this id. Raises `HpsError` where there is none, or one of another plan."""
    found = [e for folder in folders for e in _all(folder) if e.run_id == run_id]
    if not found:
        hint = "see `hps results list`; without --resume the newest run of this machine goes on"
        raise HpsError(f"there is no run {run_id} of {plan.spec.name}", hint)
    best = max(found, key=lambda earlier: len(earlier.ended))
    if not _is_of(best, plan):
        hint = "resume it with the file, --set and variables that it began with, or begin a new run"
        raise HpsError(f"run {run_id} is of another version of {plan.spec.name}", hint)
    return best


def _all(folder: Path, remark: Remark | None = None) -> list[Earlier]:
    found = (read(path, remark) for path in sorted(folder.glob("*.jsonl")))
    return [earlier for earlier in found if earlier is not None]


def read(path: Path, remark: Remark | None = None) -> Earlier | None:
    """The run that a journal is of; None where that can't be read, or never got its first line.

    `remark` is told of lines that are none of ours.
    """
    try:
        found = lines.read(path)
    except OSError:
        return None  # what can't be read proves nothing
    if found.remark and remark is not None:
        remark(path, found.remark)
    records = journal.settled(record for record in found.records if _is_of_run(record, path))
    if not records or records[0]["kind"] != "run":
        return None
    results = [record for record in records if record["kind"] == "result"]
    ended = {
        str(record["operation_id"]): str(record["status"])
        for record in results
        if record["status"] != "interrupted"
    }
    run = dict(records[0])
    resumed = [record for record in records if record.get("kind") == "resume"]
    if resumed:
        run["verdict"] = resumed[-1].get("verdict")
    return Earlier(
        journal=path,
        run=run,
        ended=ended,
        given_up=_given_up(results),
        did={str(record["operation_id"]): _what(record) for record in results},
    )


def _is_of_run(record: Record, path: Path) -> bool:
    """A journal is called like its run, and is in the folder of the machine that began it."""
    if record["kind"] == "run" and record["machine_id"] != path.parent.name:
        return False
    return record["run_id"] == path.stem


def _what(record: Mapping[str, object]) -> _What:
    cell = record["cell"]
    assert isinstance(cell, dict)  # noqa: S101 - `hps.store.lines` has looked
    return str(record["step"]), int(str(record["step_index"])), cell


def _given_up(results: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Those that failed, or were not tried, for a mistake that may have been mended since."""
    if not any(record.get("given_up") for record in results):
        return frozenset()
    return frozenset(
        str(record["operation_id"])
        for record in results
        if record["status"] in {"failed", "skipped"} and record.get("reason_owner") == "experiment"
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
    step, index, cell = what
    same_step = step == operation.step.kind and index == operation.step_index
    return same_step and cell == dict(operation.cell.axes)


def _rejected(run: Record) -> bool:
    verdict = run.get("verdict")
    if not isinstance(verdict, Mapping):
        return True  # it never began
    return not verdict.get("accepted") and verdict.get("action") != "continue"
