"""One run from its first to its last breath: everything that is held open, opened and closed.

binary -> guard, scratch -> embedded servers -> decision, run line -> payloads -> execute -> bucket
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps import __version__, admission, execute, payload, recording, taking_up
from hps.model import Operation, Plan, Spec
from hps.node import facts as node_facts
from hps.node.machine_id import machine_id
from hps.record import RunIdentity, new_run_id, resume_record, run_record, utc_text
from hps.recording import Listener
from hps.scrub import Scrubber
from hps.steps import Places, StepContext
from hps.steps.context import Stop
from hps.store.journal import Journal
from hps.store.lock import RunLock
from hps.surroundings import Tools, opened
from hps.taking_up import TakenUp, Wish, take_up
from hps.targets import http2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out. `env` is where secrets and `HPS_RCLONE` are looked up.

    `wish` says what is wanted of earlier runs.
    """

    output: Path
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    wish: Wish = field(default_factory=Wish)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to. `not_stored` says why the bucket lacks results; empty: it has them."""

    identity: RunIdentity
    journal: Path
    tally: execute.Tally
    not_stored: str
    decision: admission.Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """There was nothing to do: on this machine the run `run_id` has done it all.

    `not_stored` is that of `Outcome`.
    """

    run_id: str
    not_stored: str = ""


def run(plan: Plan, options: Options, stop: Stop, listener: Listener) -> Outcome | Finished:
    """Carry out a plan on this machine, or what an earlier run has left of it.

    Raises `HpsError` where it can't begin, and `NotStoredError` where the journal can't go on.
    """
    started_at = datetime.now(UTC)
    identity = identify(plan.spec, options.env, started_at)
    home = options.output / identity.experiment / identity.machine_id
    with opened(plan.spec, options.env) as tools, RunLock(home) as lock:
        taken = _take_up(plan, identity, tools, options, stop, listener.event)
        folder = _results_folder(plan, taken)
        unsent, not_stored = taking_up.unsent(taken, lock, options.output), ""
        if unsent:
            target = plan.spec.results.target
            not_stored = recording.send_again(
                unsent, target, folder, tools, listener, options.render, stop
            )
        if not taken.tasks:
            return Finished(run_id=taken.identity.run_id, not_stored=not_stored)
        return _go_on(plan, taken, lock, started_at, tools, options, stop, listener)


def _go_on(
    plan: Plan,
    taken: TakenUp,
    lock: RunLock,
    started_at: datetime,
    tools: Tools,
    options: Options,
    stop: Stop,
    listener: Listener,
) -> Outcome:
    """Do what the run has left, and store it."""
    scrubber, folder = Scrubber(tools.secrets), _results_folder(plan, taken)
    with (
        Journal(taken.journal) as journal,
        recording.bucket_copy(plan.spec.results.target, folder, tools, listener) as bucket,
    ):
        recorder = recording.Recorder(journal, bucket, scrubber, listener)
        killed = _take_over(taken, lock, started_at, recorder)
        decision = _admit(plan, taken, started_at, tools, stop, recorder, options.env, killed)
        if decision.rejected or stop.is_set():
            # The first try was just made; this one is sure to wait for the answer.
            tally = execute.Tally()
            not_stored = bucket.send_all([journal.path], wait=stop.wait)
        else:
            try:
                tally = _execute(plan, taken, tools, stop, recorder, lock)
            finally:
                # Also where the disk is full or a bug ends the run: what is done is sent.
                not_stored = recording.publish(journal.path, bucket, options.render, scrubber, stop)
    return Outcome(
        identity=taken.identity,
        journal=journal.path,
        tally=tally,
        not_stored=not_stored,
        decision=decision,
    )


def _admit(
    plan: Plan,
    taken: TakenUp,
    started_at: datetime,
    tools: Tools,
    stop: Stop,
    recorder: recording.Recorder,
    env: Mapping[str, str],
    killed: Set[str],
) -> admission.Decision:
    """Look at the node, judge it, and put down the line that a run begins or goes on with.

    What the `killed` runs left in the buckets is removed.
    """
    event, identity = recorder.listener.event, taken.identity
    facts = collect_facts(env, tools)
    decision = decide(plan.spec, identity, facts, tools, stop, event)
    known = {"hps": __version__, "node": asdict(facts), **decision.as_data()}
    left, journal = sum(task.recorded for task in taken.tasks), str(recorder.journal.path)
    if taken.before is None:
        recorder.append(run_record(identity, plan, started_at=started_at, facts=known))
        event("run_started", run_id=identity.run_id, journal=journal)
    else:
        recorder.append(resume_record(identity, started_at=started_at, left=left, facts=known))
        of = len(plan.operations)
        event("run_resumed", run_id=identity.run_id, journal=journal, left=left, of=of)
        killed = {*killed, identity.run_id}
    if not decision.rejected:
        names = [name for name in tools.targets if plan.spec.targets[name].provider != "embedded"]
        for run_id in sorted(killed):
            folder = f"data/{identity.experiment}/{run_id}"
            taking_up.remove_leftovers(tools, folder, names, stop, event)
    return decision


def _take_over(
    taken: TakenUp, lock: RunLock, started_at: datetime, recorder: recording.Recorder
) -> Set[str]:
    """Put down what the earlier run was ended in, then what this one is.

    Returns the id of the run that was killed in this folder, which may have had no line yet.
    """
    told = taking_up.interrupted(taken, lock)
    lock.tell(run_id=taken.identity.run_id, started_at=utc_text(started_at))
    if told is not None:
        recorder.append(told)
    killed = str(lock.before.get("run_id", ""))
    return {killed} if taking_up.is_run_id(killed) else set()


def decide(
    spec: Spec,
    identity: RunIdentity,
    facts: node_facts.NodeFacts,
    tools: Tools,
    stop: Stop,
    event: admission.Event,
) -> admission.Decision:
    """Probe this node as the experiment says, and judge it."""
    name = spec.node.probe.target or spec.results.target
    candidate = admission.Candidate(
        facts=facts,
        target=tools.targets[name],
        link=tools.link(name, f"{_data_folder(identity)}/probe", stop),
        event=event,
    )
    return admission.decide(spec.node, candidate)


def _take_up(
    plan: Plan,
    identity: RunIdentity,
    tools: Tools,
    options: Options,
    stop: Stop,
    event: admission.Event,
) -> TakenUp:
    """The embedded target forgets everything: of it only what is on disk counts."""
    place = plan.spec.results.target
    machines = "*" if options.wish.run_id else identity.machine_id

    def fetch(into: Path) -> None:
        if tools.targets[place].provider != "embedded":
            link = tools.link(place, _experiment_folder(plan), stop)
            wanted = f"/{machines}/{options.wish.run_id or '*'}.jsonl"
            unread = admission.fetch_journals(link, wanted, into)
            if unread:
                event("earlier_runs_unknown", reason=unread)

    fetched = tools.scratch / "fetched"
    return take_up(plan, identity, options.output, options.wish, fetch, event, fetched)


def identify(spec: Spec, env: Mapping[str, str], now: datetime) -> RunIdentity:
    """A new run of an experiment on this machine."""
    return RunIdentity(
        run_id=new_run_id(now),
        machine_id=machine_id(env),
        experiment=spec.name,
        spec_sha256=spec.sha256,
    )


def collect_facts(env: Mapping[str, str], tools: Tools) -> node_facts.NodeFacts:
    """What this machine is."""
    return node_facts.collect(
        env, tools.scratch, tools.version, measure_disk=True, look_for_gpu=True
    )


def _experiment_folder(plan: Plan) -> str:
    return "/".join(part for part in (plan.spec.results.folder, plan.spec.name) if part)


def _results_folder(plan: Plan, taken: TakenUp) -> str:
    return f"{_experiment_folder(plan)}/{taken.machine_folder}"


def _data_folder(identity: RunIdentity) -> str:
    return f"data/{identity.experiment}/{identity.run_id}"


def _execute(
    plan: Plan,
    taken: TakenUp,
    tools: Tools,
    stop: Stop,
    recorder: recording.Recorder,
    lock: RunLock,
) -> execute.Tally:
    context = StepContext(
        binary=tools.binary,
        tool_version=tools.version,
        places=Places(
            remotes={name: tools.remote(name) for name in tools.targets},
            data_folder=_data_folder(taken.identity),
            payload_root=str(tools.scratch / "payload"),
            local_root=str(tools.scratch / "down"),
        ),
        secrets=tools.secrets,
        offers_http2=http2.wanted_of(plan.operations, tools.targets),
        payloads=payload.make_all(
            plan.operations,
            tools.scratch / "payload",
            tools.binary,
            tools.guard,
            stop,
            recorder.listener.event,
        ),
        scratch=tools.scratch,
        guard=tools.guard,
        stop=stop,
    )

    def started(operation: Operation) -> None:
        lock.tell(
            run_id=taken.identity.run_id,
            operation_id=operation.operation_id,
            operation_started_at=utc_text(datetime.now(UTC)),
        )
        recorder.listener.started(operation)

    hooks = execute.Hooks(store=recorder.append, started=started, event=recorder.listener.event)
    return execute.run(taken.tasks, taken.identity, context, hooks)
