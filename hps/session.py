"""One run from its first to its last breath: everything that is held open, opened and closed.

binary -> guard, scratch -> embedded servers -> decision, run line -> payloads -> execute -> bucket
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from hps import __version__, admission, execute, payload
from hps.limit import Limit, LimitError
from hps.model import Operation, Plan, Spec
from hps.node import facts as node_facts
from hps.node.machine_id import machine_id
from hps.record import Record, RunIdentity, new_run_id, run_record
from hps.scrub import Scrubber
from hps.steps import Places, StepContext
from hps.steps.context import Stop
from hps.store import daemon
from hps.store.bucket import BucketCopy
from hps.store.journal import Journal
from hps.surroundings import Tools, opened
from hps.targets import http2


class Listener(Protocol):
    """Who watches a run: the events, and each operation as it starts and ends."""

    def event(self, name: str, **fields: object) -> None:
        """Something happened that a person or a log wants to know of."""

    def started(self, operation: Operation) -> None:
        """This operation starts now."""

    def stored(self, record: Record) -> None:
        """This result is on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out. `env` is where secrets and `HPS_RCLONE` are looked up.

    `once`: what this machine has finished is not measured again.
    """

    output: Path
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    once: bool = False


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
    """There was nothing to do: on this machine the run `run_id` has done it all."""

    run_id: str


def run(plan: Plan, options: Options, stop: Stop, listener: Listener) -> Outcome | Finished:
    """Carry out a plan on this machine.

    Raises `HpsError` where it can't begin, and `NotStoredError` where the journal can't go on.
    """
    started_at = datetime.now(UTC)
    identity = identify(plan.spec, options.env, started_at)
    with opened(plan.spec, options.env) as tools:
        before = _finished_run(plan, identity, tools, options, stop, listener.event)
        if before:
            return Finished(run_id=before)
        scrubber = Scrubber(tools.secrets)
        with (
            Journal(options.output / f"{identity.path}.jsonl") as journal,
            _bucket_copy(plan, identity, tools, listener) as bucket,
        ):
            recorder = _Recorder(journal, bucket, scrubber, listener)
            facts = collect_facts(options.env, tools)
            decision = decide(plan.spec, identity, facts, tools, stop, listener.event)
            known = {"hps": __version__, "node": asdict(facts), **decision.as_data()}
            recorder.append(run_record(identity, plan, started_at=started_at, facts=known))
            listener.event("run_started", run_id=identity.run_id, journal=str(journal.path))
            if decision.rejected or stop.is_set():
                # The first try was just made; this one is sure to wait for the answer.
                tally = execute.Tally()
                not_stored = bucket.send_all([journal.path], wait=stop.wait)
            else:
                try:
                    tally = _execute(plan, identity, tools, stop, recorder)
                finally:
                    # Also where the disk is full or a bug ends the run: what is done is sent.
                    not_stored = _publish(journal.path, bucket, options, scrubber, stop)
    return Outcome(
        identity=identity,
        journal=journal.path,
        tally=tally,
        not_stored=not_stored,
        decision=decision,
    )


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


def _finished_run(
    plan: Plan,
    identity: RunIdentity,
    tools: Tools,
    options: Options,
    stop: Stop,
    event: admission.Event,
) -> str:
    """The run that did it all, on disk or in the bucket; the embedded one forgets everything.

    Empty where there is none, or where it does not count.
    """
    place = plan.spec.results.target
    if not options.once or tools.targets[place].provider == "embedded":
        return ""
    here = options.output / identity.experiment / identity.machine_id
    found = admission.finished_run(plan, [here])
    if found:
        return found
    fetched = tools.scratch / "fetched"
    link = tools.link(place, _results_folder(plan, identity), stop)
    unread = admission.fetch_journals(link, fetched)
    if unread:
        event("earlier_runs_unknown", reason=unread)
    return admission.finished_run(plan, [fetched])


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Each record: without secrets, to the journal, then now and then to the bucket."""

    journal: Journal
    bucket: BucketCopy
    scrubber: Scrubber
    listener: Listener

    def append(self, record: Record) -> None:
        clean = self.scrubber.data(record)
        assert isinstance(clean, dict)  # noqa: S101 - a mapping goes in, a mapping comes out
        self.journal.append(clean)
        self.listener.stored(clean)
        self.bucket.send_now_and_then(self.journal.path)


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


@contextlib.contextmanager
def _bucket_copy(
    plan: Plan, identity: RunIdentity, tools: Tools, listener: Listener
) -> Iterator[BucketCopy]:
    remote = tools.remote(plan.spec.results.target)
    with daemon.serve(
        remote, tools.scratch, tools.binary, dict(tools.secrets), tools.guard
    ) as running:
        yield BucketCopy(
            daemon=running,
            folder=_results_folder(plan, identity),
            report=lambda name, reason: listener.event(name, reason=reason),
        )


def _results_folder(plan: Plan, identity: RunIdentity) -> str:
    parts = (plan.spec.results.folder, identity.experiment, identity.machine_id)
    return "/".join(part for part in parts if part)


def _data_folder(identity: RunIdentity) -> str:
    return f"data/{identity.experiment}/{identity.run_id}"


def _execute(
    plan: Plan, identity: RunIdentity, tools: Tools, stop: Stop, recorder: _Recorder
) -> execute.Tally:
    context = StepContext(
        binary=tools.binary,
        tool_version=tools.version,
        places=Places(
            remotes={name: tools.remote(name) for name in tools.targets},
            data_folder=_data_folder(identity),
            payload_root=str(tools.scratch / "payload"),
            local_root=str(tools.scratch / "down"),
        ),
        secrets=tools.secrets,
        offers_http2=_offers_http2(plan, tools),
        payloads=_payloads(plan, tools, stop, recorder.listener),
        scratch=tools.scratch,
        guard=tools.guard,
        stop=stop,
    )
    hooks = execute.Hooks(
        store=recorder.append, started=recorder.listener.started, event=recorder.listener.event
    )
    return execute.run(plan, identity, context, hooks)


def _offers_http2(plan: Plan, tools: Tools) -> dict[str, bool | None]:
    """Asked only of the targets that a cell wants HTTP/2 from."""
    wanted = {
        operation.cell.knobs.target
        for operation in plan.operations
        if operation.requested is not None and operation.requested.http2
    }
    return {
        name: http2.offers_http2(target.endpoint) if name in wanted else False
        for name, target in tools.targets.items()
    }


def _payloads(
    plan: Plan, tools: Tools, stop: Stop, listener: Listener
) -> dict[payload.Shape, payload.Payload]:
    """Every payload of the plan, made before anything is timed."""
    shapes = dict.fromkeys(
        payload.shape_of(operation.cell.knobs)
        for operation in plan.operations
        if operation.requested is not None
    )
    made = {}
    for shape in shapes:
        if stop.is_set():
            break
        listener.event("making_payload", **asdict(shape))
        try:
            made[shape] = payload.make(
                shape, tools.scratch / "payload", tools.binary, tools.guard, Limit(stop=stop)
            )
        except LimitError:
            break  # stopped: no operation will begin
    return made


def _publish(
    journal: Path, bucket: BucketCopy, options: Options, scrubber: Scrubber, stop: Stop
) -> str:
    """Send the journal; write the CSV and the table beside it, and send those too."""
    not_stored = bucket.send_all([journal], wait=stop.wait)
    paths = []
    try:
        for suffix, text in options.render(journal).items():
            path = journal.with_suffix(suffix)
            path.write_text(scrubber.text(text), encoding="utf-8", newline="")
            paths.append(path)
    except OSError as error:
        not_stored = not_stored or f"no table could be written: {error}"
    return not_stored or bucket.send_all(paths, wait=stop.wait)
