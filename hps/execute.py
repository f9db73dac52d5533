"""The loop of a run: prepare, do each operation, store its result, clean up.

    for each operation: perform, store; after each trial: clean up

What a failed operation leaves for others to do is decided here: the steps that depend on it are
`skipped`, and the rest of the sweep goes on. A download whose bytes a later `verify` finds to be
others is stored again, as `failed`: of two results of an operation the last one counts. What the
last trial leaves in a bucket is removed by the caller, who first sends the results.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps import leftovers
from hps.earlier import Task
from hps.errors import HpsError, MachineError
from hps.limit import LimitError
from hps.model import Measurement, Operation, Status
from hps.probe.link import Link
from hps.record import Record, RunIdentity, result_record, utc_text
from hps.steps import STEPS, StepContext

_CLEAN_TIMEOUT_S = 30.0
_CLEAN_FILE_S = 0.05
_FULL_BYTES = 64 * 1024
# After these there is nothing that a later step of the trial could work on.
_BLOCKING: frozenset[Status] = frozenset({"failed", "timeout", "skipped", "interrupted"})
_DOUBTFUL: frozenset[Status] = frozenset({"failed", "invalid", "timeout"})


@dataclass(slots=True)
class Tally:
    """How many operations ended how, and whether something may be left of them in a bucket."""

    counts: dict[str, int] = field(default_factory=dict)
    left_behind: bool = False

    def add(self, status: str) -> None:
        """Count one more."""
        self.counts[status] = self.counts.get(status, 0) + 1

    @property
    def all_ok(self) -> bool:
        """True where nothing failed; nothing at all is no success either."""
        return {status for status, count in self.counts.items() if count} == {"ok"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the caller wants to hear of: each result as it is stored, and each start."""

    store: Callable[[Record], None]
    started: Callable[[Operation], None]
    event: Callable[..., object]


def run(tasks: Sequence[Task], identity: RunIdentity, context: StepContext, hooks: Hooks) -> Tally:
    """Do every task, in order, until all is done or the run is stopped. Raises `MachineError`."""
    tally = Tally()
    trial = _Trial(context=context, event=hooks.event, scratch=context.scratch.stat())
    for task in tasks:
        if context.stop.is_set():
            break
        operation = task.operation
        trial.enter(operation)
        if not task.recorded:
            ended = trial.perform(operation)
            _say_prepared(operation, ended, hooks)
            continue
        hooks.started(operation)
        measurement = trial.perform(operation)
        for disproved, was, now in trial.disproved(operation, measurement):
            # First: a run that is killed in between verifies once more.
            tally.counts[was] -= 1
            tally.add(now.status)
            hooks.store(result_record(identity, disproved, now))
        tally.add(measurement.status)
        hooks.store(result_record(identity, operation, measurement))
        trial.recorded(operation, measurement)
    tally.left_behind = trial.left_behind
    return tally


def _say_prepared(operation: Operation, ended: Measurement, hooks: Hooks) -> None:
    step, status = operation.step.kind, ended.status
    hooks.event("done_again_for_a_later_step", step=step, status=status, reason=ended.reason)


@dataclass(slots=True)
class _Trial:
    """The trial that is going on: how its steps ended, and what it has to take away again."""

    context: StepContext
    event: Callable[..., object]
    scratch: os.stat_result
    _last: Operation | None = None
    _ended: dict[str, tuple[str, Status]] = field(default_factory=dict)
    _recorded: dict[str, tuple[Operation, Measurement]] = field(default_factory=dict)
    _uploaded: bool = False
    _incomplete: bool = False
    _failed: bool = False

    @property
    def left_behind(self) -> bool:
        """True where something of this trial, or of one before, may be left in a bucket."""
        return self._uploaded or self._incomplete or self._failed

    def enter(self, operation: Operation) -> None:
        """Leave the last trial behind where this operation belongs to another."""
        if self._last is not None and self._last.trial_id != operation.trial_id:
            self.clean_up()
        self._last = operation

    def perform(self, operation: Operation) -> Measurement:
        """Do one step, unless one that it builds on was not done."""
        measurement = self._blocked_by(operation) or self._try(operation)
        self._see_to_scratch()
        measurement = _with_full_disk(measurement, self.context.scratch)
        self._ended[operation.operation_id] = (operation.step.kind, measurement.status)
        self._remember(operation, measurement)
        return measurement

    def _see_to_scratch(self) -> None:
        """Without it a step fails for no reason of the tool's. Raises `MachineError`."""
        scratch = self.context.scratch
        if not (scratch.is_dir() and os.path.samestat(scratch.stat(), self.scratch)):
            raise MachineError(
                f"the temporary folder {scratch} was removed while the run was at work",
                "start it again, and it goes on; TMPDIR names a folder that nobody cleans",
            )

    def recorded(self, operation: Operation, measurement: Measurement) -> None:
        """This result is stored; `disproved` may come back to it."""
        self._recorded[operation.operation_id] = operation, measurement

    def disproved(
        self, verify: Operation, measurement: Measurement
    ) -> Iterator[tuple[Operation, Status, Measurement]]:
        """The download that brought what was verified, where that was wrong.

        With the status that it had, and what it is now.
        """
        looked = measurement.duration_s is not None  # what the machine refused tells nothing
        if verify.step.kind != "verify" or measurement.status != "failed" or not looked:
            return
        download, done = self._recorded.get(verify.depends_on[0], (verify, measurement))
        if done.status in {"ok", "invalid"}:
            reason = f"its bytes are wrong: {measurement.reason}"
            # Of two results tables take the one that began later.
            now = replace(done, status="failed", reason=reason, started_at=measurement.started_at)
            yield download, done.status, now

    def _try(self, operation: Operation) -> Measurement:
        """Do it; what the machine refuses (a full disk, say) fails this operation, not the run."""
        started_at = utc_text(datetime.now(UTC))
        try:
            return STEPS[operation.step.kind](operation, self.context)
        except LimitError as limit:
            return Measurement(status=limit.status, reason=limit.reason, started_at=started_at)
        except OSError as error:
            reason = f"{error.strerror or error}: {error.filename or self.context.scratch}"
        except HpsError as error:
            reason = f"{error.message}; {error.hint}"
        return Measurement(status="failed", reason=reason, started_at=started_at)

    def clean_up(self) -> None:
        """Remove what this trial left in the scratch folder and in the bucket."""
        operation, self._last = self._last, None
        self._ended.clear()
        self._recorded.clear()
        if operation is None:
            return
        shutil.rmtree(self.context.local(operation), ignore_errors=True)
        if self._uploaded or self._incomplete:
            self._remove(operation)
        # What a server was told late it may yet do: at the end of the run it is looked once more.
        self._failed |= self._incomplete
        self._uploaded = self._incomplete = False

    def _blocked_by(self, operation: Operation) -> Measurement | None:
        for needed in operation.depends_on:
            kind, status = self._ended.get(needed, ("", "ok"))
            if status in _BLOCKING:
                return Measurement(
                    status="skipped",
                    reason=f"its {kind} {_ENDED[status]}",
                    started_at=utc_text(datetime.now(UTC)),
                )
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
        """Only ever below the trial's own folder."""
        context = self.context
        link = Link(
            remote=context.places.remote(operation),
            key=context.places.key(operation),
            binary=context.binary,
            secrets=context.secrets,
            guard=context.guard,
            scratch=context.scratch,
            stop=context.stop,
        )
        self._failed |= not leftovers.remove(
            link,
            leftovers.ALL if self._incomplete else ("objects",),
            timeout_s=_CLEAN_TIMEOUT_S + _CLEAN_FILE_S * operation.cell.knobs.files,
            stop=context.stop,
            event=self.event,
        )


def _with_full_disk(measurement: Measurement, scratch: Path) -> Measurement:
    """On a full disk a tool can't even write down why it failed."""
    if measurement.status not in _DOUBTFUL or shutil.disk_usage(scratch).free >= _FULL_BYTES:
        return measurement
    return replace(measurement, reason=f"{measurement.reason}; no space left in {scratch}")


_ENDED: Mapping[Status, str] = {
    "failed": "failed",
    "timeout": "took too long",
    "skipped": "was skipped",
    "interrupted": "was interrupted",
}
