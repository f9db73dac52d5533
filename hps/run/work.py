"""One run's work: what was interrupted put down, the node judged, operations done, results sent.

lock, journal, bucket -> decision, run line -> payloads -> execute -> results sent -> leftovers gone
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps import __version__
from hps.data import payload
from hps.model import Operation, Plan, Spec
from hps.node import facts as node_facts
from hps.process.stop import SignalStop
from hps.results import lock
from hps.results.journal import Journal
from hps.results.lock import RunLock
from hps.results.record import (
    Record,
    RunIdentity,
    failed_record,
    resume_record,
    run_record,
    utc_text,
)
from hps.run import admission, execute, finish, resume
from hps.run import recorder as recording
from hps.run.environment import Tools
from hps.run.finish import Settler
from hps.run.preflight import Preflight
from hps.run.recorder import Listener
from hps.run.resume import TakenUp
from hps.run_folder import PROBE, run_folder
from hps.steps import Places, StepContext
from hps.steps.context import RunStop
from hps.targets import http2

# After a signal: what is left in buckets is removed for so long.
_CLEAN_UP_S = 10.0
_AWAY_MOST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to. `not_stored` says why the bucket lacks results; empty: it has them.

    `left_behind` names what of this run may still be in a bucket, and why.
    """

    identity: RunIdentity
    journal: Path
    tally: execute.Tally
    not_stored: str
    decision: admission.Admission
    left_behind: tuple[str, ...] = ()


@dataclass(slots=True)
class Noting:
    """A listener that remembers what could not be removed from a bucket, and why."""

    listener: Listener
    left_behind: list[str] = field(default_factory=list)

    def event(self, name: str, **fields: object) -> None:
        if name == "clean_up_failed":
            self.left_behind.append(f"{fields['key']} ({fields['what']}): {fields['reason']}")
        self.listener.event(name, **fields)

    def started(self, operation: Operation) -> None:
        self.listener.started(operation)

    def stored(self, record: Record) -> None:
        self.listener.stored(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CleanUpEnd:
    """A stop of its own for what goes on after a signal, for a moment."""

    stop: SignalStop

    def is_set(self) -> bool:
        return self.stop.over(_CLEAN_UP_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that a run works with. `env` is what node facts are looked up in.

    `folder` is where results belong in the bucket; a failure in `preflight` turns the node down.
    """

    plan: Plan
    taken: TakenUp
    env: Mapping[str, str] = field(repr=False)
    tools: Tools
    lock: RunLock
    stop: SignalStop
    listener: Noting
    settler: Settler
    folder: str
    started_at: datetime
    preflight: Preflight
    most_equal_failures: int

    def do(self) -> Outcome:
        """Do what the run has left.

        Raises `NotStoredError` where the journal can't go on, `MachineError`, and `HpsError` where
        another process goes on with the same run.
        """
        with lock.announced(self.taken.identity.run_id):
            return self._do()

    def _do(self) -> Outcome:
        finish.begin(self.taken.journal)
        results = self.plan.spec.results.target
        copy = recording.bucket_copy(results, self.folder, self.tools, self.listener, self.stop)
        with Journal(self.taken.journal) as journal, copy as bucket:
            recorder = recording.Recorder(journal, bucket, self.tools.scrubber, self.listener)
            self._take_over(recorder)
            decision = self._admit(recorder)
            tally = execute.Tally(left_behind=decision.runs)
            try:
                if decision.runs and not self.stop.is_set():
                    tally = self._execute(recorder)
            finally:
                # Also where the disk is full or a bug ends the run: what is done is sent.
                not_stored = self._publish(recorder, alone=not decision.runs)
                clean = self._clean_up(tally)
            if clean and not not_stored:
                finish.end(journal.path)
        return Outcome(
            identity=self.taken.identity,
            journal=journal.path,
            tally=tally,
            not_stored=not_stored,
            decision=decision,
            left_behind=tuple(self.listener.left_behind),
        )

    def _take_over(self, recorder: recording.Recorder) -> None:
        """Put down what the earlier run was ended in, and only then what this one is."""
        if self.taken.before is not None:
            told = resume.interrupted(self.lock, recorder.journal.path)
            if told is not None:
                recorder.append(told)
        self._tell(started_at=utc_text(self.started_at))

    def _tell(self, **what: object) -> None:
        scratch = str(self.tools.scratch)
        self.lock.tell(run_id=self.taken.identity.run_id, scratch=scratch, **what)

    def _admit(self, recorder: recording.Recorder) -> admission.Admission:
        """Look at the node, judge it, and put down the line that a run begins or goes on with.

        What the run left in the buckets when it was ended is removed first.
        """
        taken, plan, event = self.taken, self.plan, self.listener.event
        identity, started_at = taken.identity, self.started_at
        if taken.before is not None and self.preflight.failure is None:
            self.settler.remove_leftovers(identity.run_id, self.stop)
        facts = collect_facts(self.env, self.tools, measure_disk=not self.stop.is_set())
        decision = self._decide(facts)
        known = {"hps": __version__, "node": asdict(facts), **decision.as_data()}
        if decision.failure is not None and taken.before is None:
            why = decision.failure
            recorder.append(
                failed_record(identity, plan.spec, why, started_at=started_at, facts=known)
            )
            return decision
        said = {"run_id": identity.run_id, "journal": str(taken.journal)}
        if taken.before is None:
            recorder.append(run_record(identity, plan, started_at=started_at, facts=known))
            event("run_started", **said)
            return decision
        left = sum(task.recorded for task in taken.tasks)
        recorder.append(resume_record(identity, started_at=started_at, left=left, facts=known))
        event("run_resumed", **said, left=left, of=len(plan.operations))
        return decision

    def _decide(self, facts: node_facts.NodeFacts) -> admission.Admission:
        """Of a node that can't reach a target there is nothing to measure."""
        spec, identity, why = self.plan.spec, self.taken.identity, self.preflight.failure
        if why is None:
            return decide(spec, identity, facts, self.tools, self.stop, self.listener.event)
        candidate = _candidate(
            self.preflight.target, identity, facts, self.tools, self.stop, self.listener.event
        )
        return admission.turn_down(spec.node, candidate, why)

    def _execute(self, recorder: recording.Recorder) -> execute.Tally:
        """Do the operations."""
        context = self._context()

        def started(operation: Operation) -> None:
            at = utc_text(datetime.now(UTC))
            record = resume.if_interrupted(self.taken.identity, operation, at)
            self._tell(
                operation_id=operation.operation_id,
                operation_started_at=at,
                if_interrupted=recorder.scrubber.record(record),
            )
            self.listener.started(operation)

        event = self.listener.event
        hooks = execute.Hooks(
            store=recorder.append,
            started=started,
            event=event,
            most_equal_failures=self.most_equal_failures,
        )
        return execute.run(self.taken.tasks, self.taken.identity, context, hooks)

    def _context(self) -> StepContext:
        tools, operations = self.tools, self.plan.operations
        folder, event = tools.scratch / "payload", self.listener.event
        return StepContext(
            binary=tools.binary,
            tool_version=tools.version,
            places=Places(
                remotes={name: tools.remote(name) for name in tools.targets},
                data_folder=_data_folder(self.taken.identity),
                payload_root=str(folder),
                local_root=str(tools.scratch / "down"),
            ),
            secrets=tools.secrets,
            offers_http2=http2.wanted_of(operations, tools.targets),
            payloads=payload.make_all(
                operations, folder, tools.binary, tools.guard, self.stop, event
            ),
            scratch=tools.scratch,
            guard=tools.guard,
            stop=self.stop,
        )

    def _publish(self, recorder: recording.Recorder, *, alone: bool) -> str:
        """Returns why the bucket lacks results, or nothing. `alone`: there is just a run line."""
        recorder.keep()
        with contextlib.suppress(OSError):  # if it was removed: what sends results needs it
            self.tools.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, bucket = recorder.journal.path, recorder.bucket
        if alone:
            # The first try was just made; this one is sure to wait for the answer.
            # Where no target could be reached, that was tried for long enough.
            most_s = None if self.preflight.failure is None else _AWAY_MOST_S
            return bucket.send_all([path], wait=self.stop.wait, most_s=most_s)
        return recording.publish(path, bucket, self.settler.render, self.stop)

    def _clean_up(self, tally: execute.Tally) -> bool:
        """Remove what may be left in buckets: after the results are sent, for those are dearer."""
        if self.preflight.failure is not None:
            return not self.preflight.left  # the next run looks: from here the target is away
        if not (tally.left_behind or self.listener.left_behind):
            return True
        self.listener.left_behind.clear()  # it is tried once more, and that includes all of it
        end = _CleanUpEnd(stop=self.stop)
        return self.settler.remove_leftovers(self.taken.identity.run_id, end)


def decide(
    spec: Spec,
    identity: RunIdentity,
    facts: node_facts.NodeFacts,
    tools: Tools,
    stop: RunStop,
    event: admission.Event,
) -> admission.Admission:
    """Probe this node as the experiment says, and judge it."""
    name = spec.node.probe.target or spec.results.target
    return admission.decide(spec.node, _candidate(name, identity, facts, tools, stop, event))


def _candidate(
    target: str,
    identity: RunIdentity,
    facts: node_facts.NodeFacts,
    tools: Tools,
    stop: RunStop,
    event: admission.Event,
) -> admission.Candidate:
    return admission.Candidate(
        facts=facts,
        target=tools.targets[target],
        link=tools.link(target, f"{_data_folder(identity)}/{PROBE}", stop),
        event=event,
    )


def collect_facts(
    env: Mapping[str, str], tools: Tools, *, measure_disk: bool = True
) -> node_facts.NodeFacts:
    """What this machine is."""
    return node_facts.collect(
        env, tools.scratch, tools.version, measure_disk=measure_disk, look_for_gpu=True
    )


def _data_folder(identity: RunIdentity) -> str:
    return run_folder(identity.experiment, identity.run_id).key
