"""The loop of a run.

    for each operation: perform, store; after each trial: clean up

After a failed operation the steps that depend on it are `skipped`, and the rest of the sweep
continues. A download whose bytes a later `verify` finds to be wrong is stored again, as `failed`:
of two results of an operation the last counts. What the last trial leaves in a bucket is removed by
the caller, who first sends the results.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps.catalog.failures import failure, of_system
from hps.data import payload
from hps.data.limit import LimitError
from hps.errors import GuardError, HpsError, MachineError, MissingProgramError
from hps.model import Failure, Measurement, Operation, Status
from hps.node import starvation
from hps.results.record import Record, RunIdentity, result_record, utc_text
from hps.run.resume import Task
from hps.run.session import Session
from hps.run_folder import run_folder
from hps.steps import STEPS, Places, StepContext
from hps.targets import cleanup, http2
from hps.targets.bucket import Link
from hps.tools.base import Missing

_CLEAN_TIMEOUT_S = 30.0
_CLEAN_FILE_S = 0.05
_FULL_BYTES = 64 * 1024
# After these there is nothing that a later step of the trial could work on.
_BLOCKING: frozenset[Status] = frozenset({"failed", "timeout", "skipped", "interrupted"})
_DOUBTFUL: frozenset[Status] = frozenset({"failed", "invalid", "timeout"})


@dataclass(slots=True)
class Tally:
    """How many operations ended in each status, and whether a bucket may still have their objects.

    `given_up` is the mistake of the experiment for which the rest was not tried; `ruled_out` counts
    the operations that the tool can't do, by the plan. `over`: the rest was left since the fleet's
    time was over. `asked` is how many operations there were to measure.
    """

    asked: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    ruled_out: int = 0
    has_leftovers: bool = False
    given_up: Failure | None = None
    over: bool = False

    def add(self, status: str) -> None:
        self.counts[status] = self.counts.get(status, 0) + 1

    def add_result(self, measurement: Measurement) -> None:
        self.add(measurement.status)
        why = measurement.failure
        self.ruled_out += why is not None and why.code == "unsupported"

    @property
    def all_ok(self) -> bool:
        """True where some operation succeeded, or there was no time for any, and none failed.

        An operation that the tool can't do, by the plan, is no failure.
        """
        failed = sum(self.counts.values()) - self.counts.get("ok", 0) - self.ruled_out
        return failed == 0 and (self.counts.get("ok", 0) > 0 or self.over)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The caller's functions: to store each result, and for each start and event.

    After `most_equal_failures` in a row with the same mistake of the experiment the rest is not
    tried; 0: always tried. Nothing begins once `is_over()`. Once all tasks are done, `more()` is
    asked for others, until there are none.
    """

    store: Callable[[Record], None]
    started: Callable[[Operation], None]
    event: Callable[..., object]
    most_equal_failures: int = 0
    is_over: Callable[[], bool] = lambda: False
    more: Callable[[], Sequence[Task]] = tuple


def run(tasks: Sequence[Task], identity: RunIdentity, context: StepContext, hooks: Hooks) -> Tally:
    """Do the tasks in order, until all are done or the run is stopped. Raises `MachineError`."""
    tally = Tally()
    trial = _Trial(context=context, event=hooks.event, scratch=context.scratch.stat())
    equal = _EqualFailures(most=hooks.most_equal_failures)
    for task in _all_tasks(tasks, tally, hooks):
        tally.over = hooks.is_over()
        if context.stop.is_set() or tally.over:
            break
        operation = task.operation
        if tally.given_up is not None:
            _record_not_tried(task, tally, identity, hooks)
            continue
        trial.enter(operation)
        if not task.recorded:
            ended = trial.perform(operation)
            _report_prepared(operation, ended, hooks)
            continue
        hooks.started(operation)
        measurement = trial.perform(operation)
        for disproved, was, now in trial.find_disproved(operation, measurement):
            # First: a run that is killed in between verifies once more.
            tally.counts[was] -= 1
            tally.add(now.status)
            hooks.store(result_record(identity, disproved, now))
        tally.add_result(measurement)
        hooks.store(result_record(identity, operation, measurement))
        trial.keep(operation, measurement)
        tally.given_up = equal.give_up(measurement)
    tally.has_leftovers = trial.has_leftovers
    return tally


def _all_tasks(tasks: Sequence[Task], tally: Tally, hooks: Hooks) -> Iterator[Task]:
    """The tasks, and what there is more to do, unless the run gives up or is over."""
    while True:
        tally.asked += sum(task.recorded for task in tasks)
        yield from tasks
        if tally.given_up is not None or hooks.is_over():
            return
        tasks = hooks.more()
        if not tasks:
            return


def context_of(session: Session, identity: RunIdentity) -> StepContext:
    """The context of this run's steps; makes the data to upload."""
    tools, operations = session.tools, session.plan.operations
    folder, event = tools.scratch / "payload", session.listener.event
    return StepContext(
        binary=tools.binary,
        tools=tools.installed,
        proofs=tools.proofs,
        places=Places(
            targets=tools.targets,
            data_folder=run_folder(identity.experiment, identity.run_id).key,
            payload_root=str(folder),
            local_root=str(tools.scratch / "down"),
        ),
        secrets=tools.secrets,
        offers_http2=http2.check_offers(operations, tools.targets),
        payloads=payload.make_all(
            operations, folder, tools.binary, tools.guard, session.stop, event
        ),
        scratch=tools.scratch,
        guard=tools.guard,
        stop=session.stop,
    )


@dataclass(slots=True, kw_only=True)
class _EqualFailures:
    """Counts operations in a row that failed with the same mistake: others would fail likewise.

    Operations that were not tried, or use no target, don't count. A request that a server refuses
    for what is in it, such as parts that are too small, is the fault of a cell: others may succeed.
    """

    most: int
    count: int = 0
    code: str = ""

    def give_up(self, measurement: Measurement) -> Failure | None:
        """Count; returns why the rest is not to be tried, once there were enough."""
        why = measurement.failure
        if measurement.status == "skipped" or measurement.command is None:
            return None
        of_all = why is not None and why.is_of_the_experiment and why.code not in _OF_A_CELL
        if measurement.status != "failed" or why is None or not of_all:
            self.count = 0
            return None
        self.count = self.count + 1 if why.code == self.code else 1
        self.code = why.code
        if self.count != self.most:
            return None
        return why.with_text(f"{self.count} operations in a row failed alike: {why.text}")


def _record_not_tried(task: Task, tally: Tally, identity: RunIdentity, hooks: Hooks) -> None:
    """Store that an operation was not tried: it is done where the run is resumed."""
    if task.recorded and tally.given_up is not None:
        measurement = Measurement(
            status="skipped",
            failure=tally.given_up.with_text(f"not tried: {tally.given_up.text}"),
            started_at=utc_text(datetime.now(UTC)),
            extra={"given_up": True},
        )
        tally.add("skipped")
        hooks.store(result_record(identity, task.operation, measurement))


def _report_prepared(operation: Operation, ended: Measurement, hooks: Hooks) -> None:
    step, status = operation.step.kind, ended.status
    why = ended.failure.reason if ended.failure else ""
    hooks.event("done_again_for_a_later_step", step=step, status=status, reason=why)


@dataclass(slots=True)
class _Trial:
    """The current trial: how its steps ended, and what has to be removed after it."""

    context: StepContext
    event: Callable[..., object]
    scratch: os.stat_result
    _last: Operation | None = None
    _ended: dict[str, tuple[str, Status, Failure | None]] = field(default_factory=dict)
    _kept: dict[str, tuple[Operation, Measurement]] = field(default_factory=dict)
    _uploaded: bool = False
    _incomplete: bool = False
    _failed: bool = False

    @property
    def has_leftovers(self) -> bool:
        """True where a bucket may still have objects of this trial, or of one before."""
        return self._uploaded or self._incomplete or self._failed

    def enter(self, operation: Operation) -> None:
        """Clean up after the last trial, where this operation belongs to another."""
        if self._last is not None and self._last.trial_id != operation.trial_id:
            self.clean_up()
        self._last = operation

    def perform(self, operation: Operation) -> Measurement:
        """Do a step, unless one that it builds on was not done. Raises `MachineError`."""
        measurement = self._blocked_by(operation) or self._try(operation)
        self._check_scratch()
        measurement = _with_full_disk(measurement, self.context.scratch)
        ended = operation.step.kind, measurement.status, measurement.failure
        self._ended[operation.operation_id] = ended
        self._remember(operation, measurement)
        return measurement

    def _check_scratch(self) -> None:
        """Raises `MachineError` where the folder is gone: the step failed for that reason."""
        scratch = self.context.scratch
        if not (scratch.is_dir() and os.path.samestat(scratch.stat(), self.scratch)):
            raise MachineError(
                f"the temporary folder {scratch} was removed while the run was at work",
                "start it again, and it goes on; TMPDIR names a folder that nobody cleans",
            )

    def keep(self, operation: Operation, measurement: Measurement) -> None:
        """Keep a stored result for `find_disproved`."""
        self._kept[operation.operation_id] = operation, measurement

    def find_disproved(
        self, verify: Operation, measurement: Measurement
    ) -> Iterator[tuple[Operation, Status, Measurement]]:
        """The download whose bytes `verify` found to be wrong, if it did.

        Yields its operation, the status that it had, and its new measurement.
        """
        looked = measurement.duration_s is not None  # what the machine refused proves nothing
        if verify.step.kind != "verify" or measurement.status != "failed" or not looked:
            return
        download, done = self._kept.get(verify.depends_on[0], (verify, measurement))
        moved = done.status == "invalid" and done.effective is not None
        if done.status == "ok" or moved:
            text = f"its bytes are wrong: {measurement.failure.text if measurement.failure else ''}"
            why = failure("corrupted", text)
            yield download, done.status, replace(done, status="failed", failure=why)

    def _try(self, operation: Operation) -> Measurement:
        """Do a step; an error of the machine (a full disk) fails this operation, not the run."""
        started_at, before = utc_text(datetime.now(UTC)), starvation.read_counters()
        try:
            done = STEPS[operation.step.kind](operation, self.context)
            return replace(done, disturbed=starvation.disturbed(before, starvation.read_counters()))
        except LimitError as limit:
            why, status = limit.failure, limit.status
        except OSError as error:
            why, status = of_system(error, self.context.scratch), "failed"
        except HpsError as error:
            why, status = _of_error(error), "failed"
        return Measurement(status=status, failure=why, started_at=started_at)

    def clean_up(self) -> None:
        """Remove this trial's files from the scratch folder, and its objects from the bucket."""
        operation, self._last = self._last, None
        self._ended.clear()
        self._kept.clear()
        if operation is None:
            return
        shutil.rmtree(self.context.local(operation), ignore_errors=True)
        if self._uploaded or self._incomplete:
            self._remove(operation)
        # A server may still complete a late request: the run looks once more at its end.
        self._failed |= self._incomplete
        self._uploaded = self._incomplete = False

    def _blocked_by(self, operation: Operation) -> Measurement | None:
        why_not = self._ruled_out(operation)
        for needed in operation.depends_on:
            kind, status, why = self._ended.get(needed, ("", "ok", None))
            if why_not is None and status in _BLOCKING:
                why_not = _because_of(kind, status, why)
        if why_not is None:
            return None
        at = utc_text(datetime.now(UTC))
        return Measurement(status="skipped", failure=why_not, started_at=at)

    def _ruled_out(self, operation: Operation) -> Failure | None:
        """Why the tool can't do this, by the plan, or is not on this machine; else None."""
        if operation.why_not:
            return failure("unsupported", operation.why_not)
        found = self.context.tools.get(operation.cell.knobs.tool)
        if operation.requested is not None and isinstance(found, Missing):
            return failure("tool_missing", found.why, hint=found.how_to_get)
        return None

    def _remember(self, operation: Operation, measurement: Measurement) -> None:
        if measurement.status == "skipped":
            return
        if operation.direction == "up":
            self._uploaded = True
            self._incomplete = self._incomplete or measurement.status in _BLOCKING
        elif operation.step.kind == "delete" and measurement.status == "ok":
            self._uploaded = False

    def _remove(self, operation: Operation) -> None:
        """Remove what is below the trial's own folder."""
        context = self.context
        link = Link(
            target=context.places.target(operation),
            key=context.places.key(operation),
            binary=context.binary,
            secrets=context.secrets,
            guard=context.guard,
            scratch=context.scratch,
            stop=context.stop,
        )
        self._failed |= not cleanup.remove(
            link,
            cleanup.ALL if self._incomplete else ("objects",),
            timeout_s=_CLEAN_TIMEOUT_S + _CLEAN_FILE_S * operation.cell.knobs.files,
            stop=context.stop,
            event=self.event,
        )


def _with_full_disk(measurement: Measurement, scratch: Path) -> Measurement:
    """The measurement; `disk_full` is its failure where the disk has no space for a log."""
    if measurement.status not in _DOUBTFUL or shutil.disk_usage(scratch).free >= _FULL_BYTES:
        return measurement
    before = f"{measurement.failure.text}; " if measurement.failure else ""
    why = failure("disk_full", f"{before}no space left in {scratch}", hint="")
    return replace(measurement, failure=why)


def _of_error(error: HpsError) -> Failure:
    """The failure of a step that could not begin: the machine's, or the experiment's."""
    code = next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), "bad_experiment")
    return failure(code, error.message, hint=error.hint)


def _because_of(kind: str, status: Status, why: Failure | None) -> Failure:
    """The failure of a step that builds on one that was not done, with that one's owner."""
    text = f"its {kind} {_ENDED[status]}"
    return replace(why, text=text, hint="") if why else failure("stopped", text)


_OF_A_CELL = {"bad_request", "not_implemented", "bad_experiment"}
_OF_ERRORS = (
    (MissingProgramError, "tool_missing"),
    (MachineError, "disk_error"),
    (GuardError, "stopped"),
)
_ENDED: Mapping[Status, str] = {
    "failed": "failed",
    "timeout": "took too long",
    "skipped": "was skipped",
    "interrupted": "was interrupted",
}
