"""Looking at this node without running anything: its facts, and what an experiment makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from hps import log, session, temporary
from hps.catalog.failures import Failure
from hps.errors import EXIT_NODE_REJECTED, EXIT_OK, HpsError, MachineError
from hps.model import Spec
from hps.node import facts as node_facts
from hps.running import configure_log
from hps.stop import SignalStop, on_signals
from hps.surroundings import opened
from hps.tools import rclone


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found: `node`, and where there are rules `probe` and `verdict`, as in a run line."""

    data: Mapping[str, object]
    code: int


def examine_here(spec: Spec | None, env: Mapping[str, str], log_style: log.Format) -> Examined:
    """Collect the facts, and probe as the experiment says. Raises `HpsError` where it can't."""
    scrubber = configure_log(spec, env, log_style)
    with on_signals() as stop:
        log.events().info("node_examined", rules="" if spec is None else spec.name)
        found = _facts_alone(env) if spec is None else _against(spec, env, stop)
        data = scrubber.record(found.data)
        return Examined(data=data, code=stop.exit_code if stop.is_set() else found.code)


def _facts_alone(env: Mapping[str, str]) -> Examined:
    with temporary.folder() as scratch:
        facts = node_facts.collect(
            env, scratch, _rclone_version(env), measure_disk=True, look_for_gpu=True
        )
    return Examined(data={"node": asdict(facts)}, code=EXIT_OK)


def _against(spec: Spec, env: Mapping[str, str], stop: SignalStop) -> Examined:
    identity = session.identify(spec, env, datetime.now(UTC))
    with opened(spec, env) as tools:
        facts = session.collect_facts(env, tools)
        decision = session.decide(spec, identity, facts, tools, stop, log.events().info)
    if decision.failure is not None and not stop.is_set():
        raise _not_of_the_node(decision.failure)
    return Examined(
        data={"node": asdict(facts), **decision.as_data()},
        code=EXIT_OK if decision.verdict.accepted else EXIT_NODE_REJECTED,
    )


def _not_of_the_node(why: Failure) -> HpsError:
    """What keeps any node from being judged."""
    kind = HpsError if why.is_of_the_experiment else MachineError
    return kind(f"this node can't be judged: {why.text}", why.hint)


def _rclone_version(env: Mapping[str, str]) -> str | None:
    try:
        return rclone.read_version(rclone.find_binary(env))
    except HpsError as error:
        log.events().warning("no_rclone", reason=error.message)
        return None
