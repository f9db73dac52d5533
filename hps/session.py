"""One run from its first to its last breath: everything that is held open, opened and closed.

binary -> guard, scratch -> embedded servers -> payloads -> run line -> execute -> bucket
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from hps import __version__, execute, payload, process
from hps.errors import HpsError
from hps.model import Operation, Plan, Target
from hps.node import facts as node_facts
from hps.record import Record, RunIdentity, new_run_id, run_record
from hps.scrub import Scrubber
from hps.steps import Places, StepContext
from hps.steps.context import Stop
from hps.store import daemon
from hps.store.bucket import BucketCopy
from hps.store.journal import Journal
from hps.targets import Remote, embedded, http2, remote_of
from hps.tools import rclone


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
    """How a run is carried out. `env` is where secrets and `HPS_RCLONE` are looked up."""

    output: Path
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    measure_disk: bool = True
    look_for_gpu: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to. `not_stored` says why the bucket lacks results; empty: it has them."""

    identity: RunIdentity
    journal: Path
    tally: execute.Tally
    not_stored: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What a session found and started before the first operation."""

    binary: str
    version: str
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    targets: Mapping[str, Target]

    def remote(self, name: str) -> Remote:
        return remote_of(self.targets[name])


def run(plan: Plan, options: Options, stop: Stop, listener: Listener) -> Outcome:
    """Carry out a plan on this machine. Raises `HpsError` before the first operation only."""
    started_at = datetime.now(UTC)
    with _opened(plan, options) as tools:
        facts = _facts(options, tools)
        identity = RunIdentity(
            run_id=new_run_id(started_at),
            machine_id=facts.machine_id,
            experiment=plan.spec.name,
            spec_sha256=plan.spec.sha256,
        )
        line = run_record(
            identity, plan, started_at=started_at, facts={"hps": __version__, "node": asdict(facts)}
        )
        scrubber = Scrubber(tools.secrets)
        with (
            Journal(options.output / f"{identity.path}.jsonl") as journal,
            _bucket_copy(plan, identity, tools, listener) as bucket,
        ):
            recorder = _Recorder(journal, bucket, scrubber, listener)
            recorder.append(line)
            listener.event("run_started", run_id=identity.run_id, journal=str(journal.path))
            tally = _execute(plan, identity, tools, stop, recorder)
            not_stored = _publish(journal.path, bucket, options, scrubber, stop)
    return Outcome(identity=identity, journal=journal.path, tally=tally, not_stored=not_stored)


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


@contextlib.contextmanager
def _opened(plan: Plan, options: Options) -> Iterator[_Tools]:
    binary = rclone.find_binary(options.env)
    version = rclone.read_version(binary)
    keys = embedded.new_keys()
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = stack.enter_context(_scratch(guard))
        targets = {
            name: stack.enter_context(_started(target, scratch, binary, keys, guard))
            for name, target in plan.spec.targets.items()
        }
        tools = _Tools(
            binary=binary,
            version=version,
            secrets=_secrets(targets, options.env, keys),
            guard=guard,
            scratch=scratch,
            targets=targets,
        )
        yield tools


@contextlib.contextmanager
def _scratch(guard: process.Guard) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hps-", ignore_cleanup_errors=True) as name:
        guard.tell("remove", name)
        yield Path(name)


@contextlib.contextmanager
def _started(
    target: Target, scratch: Path, binary: str, keys: dict[str, str], guard: process.Guard
) -> Iterator[Target]:
    if target.provider != "embedded":
        yield target
        return
    folder = scratch / "served" / target.name
    with embedded.serve(target, folder, binary, keys, guard) as served:
        yield served


def _secrets(
    targets: Mapping[str, Target], env: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, str]:
    """Every secret that the targets name. Raises `HpsError` naming the first that is not set."""
    known = {**env, **keys}
    names = {
        reference.env
        for target in targets.values()
        for reference in remote_of(target).secret_env.values()
    }
    missing = sorted(name for name in names if not known.get(name))
    if missing:
        raise HpsError(
            f"not set in the environment: {', '.join(missing)}",
            f"export {missing[0]}=…, or pass -e {missing[0]} to the container",
        )
    return {name: known[name] for name in names}


def _facts(options: Options, tools: _Tools) -> node_facts.NodeFacts:
    return node_facts.collect(
        options.env,
        tools.scratch,
        tools.version,
        measure_disk=options.measure_disk,
        look_for_gpu=options.look_for_gpu,
    )


@contextlib.contextmanager
def _bucket_copy(
    plan: Plan, identity: RunIdentity, tools: _Tools, listener: Listener
) -> Iterator[BucketCopy]:
    place = plan.spec.results
    remote = tools.remote(place.target)
    with daemon.serve(
        remote, tools.scratch, tools.binary, dict(tools.secrets), tools.guard
    ) as running:
        yield BucketCopy(
            daemon=running,
            folder="/".join(
                part for part in (place.folder, identity.experiment, identity.machine_id) if part
            ),
            report=lambda name, reason: listener.event(name, reason=reason),
        )


def _execute(
    plan: Plan, identity: RunIdentity, tools: _Tools, stop: Stop, recorder: _Recorder
) -> execute.Tally:
    context = StepContext(
        binary=tools.binary,
        tool_version=tools.version,
        places=Places(
            remotes={name: tools.remote(name) for name in tools.targets},
            data_folder=f"data/{identity.experiment}/{identity.run_id}",
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


def _offers_http2(plan: Plan, tools: _Tools) -> dict[str, bool]:
    """Asked only of the targets that a cell wants HTTP/2 from."""
    wanted = {
        operation.cell.knobs.target
        for operation in plan.operations
        if operation.requested is not None and operation.requested.http2
    }
    return {
        name: name in wanted and http2.offers_http2(target.endpoint)
        for name, target in tools.targets.items()
    }


def _payloads(
    plan: Plan, tools: _Tools, stop: Stop, listener: Listener
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
        listener.event("payload_made", **asdict(shape))
        made[shape] = payload.make(shape, tools.scratch / "payload", tools.binary, tools.guard)
    return made


def _publish(
    journal: Path, bucket: BucketCopy, options: Options, scrubber: Scrubber, stop: Stop
) -> str:
    """Write the CSV and the table beside the journal, and send all three to the bucket."""
    paths = [journal]
    for suffix, text in options.render(journal).items():
        path = journal.with_suffix(suffix)
        path.write_text(scrubber.text(text), encoding="utf-8", newline="")
        paths.append(path)
    return bucket.send_all(paths, wait=stop.wait)
