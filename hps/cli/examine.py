"""Examine this node, or try an experiment's targets from it, without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from hps import log
from hps.cli.output import configure_log
from hps.errors import (
    EXIT_NODE_REJECTED,
    EXIT_OK,
    EXIT_OPERATION_FAILED,
    EXIT_USAGE,
    HpsError,
    MachineError,
)
from hps.model import Failure, Spec
from hps.node import facts as node_facts
from hps.node.probe.check import Waiting
from hps.node.probe.checked import TargetCheck
from hps.plan.expand import expand
from hps.process import temporary
from hps.process.stop import SignalStop, on_signals
from hps.redaction import Scrubber
from hps.run import admission, run
from hps.run.admission import check_targets
from hps.run.session import open_tools
from hps.tools import CLIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """`data` has `node`, and where there are rules `probe` and `verdict`, as in a journal."""

    data: Mapping[str, object]
    code: int


def examine_here(spec: Spec | None, env: Mapping[str, str], log_style: log.Format) -> Examined:
    """Collect facts of this node; with an experiment also probe and judge it by its rules.

    Raises `HpsError` where that can't be done, whatever the node.
    """
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
    identity = run.identify(spec, env, datetime.now(UTC))
    with open_tools(spec, env) as tools:
        facts = admission.collect_facts(env, tools)
        decision = admission.decide(spec, identity, facts, tools, stop, log.events().info)
    if decision.failure is not None and not stop.is_set():
        raise _not_judged(decision.failure)
    return Examined(
        data={"node": asdict(facts), **decision.as_data()},
        code=EXIT_OK if decision.verdict.accepted else EXIT_NODE_REJECTED,
    )


def _not_judged(why: Failure) -> HpsError:
    kind = HpsError if why.is_of_the_experiment else MachineError
    return kind(f"this node can't be judged: {why.text}", why.hint)


def _rclone_version(env: Mapping[str, str]) -> str | None:
    try:
        return CLIENT.find(env).version
    except HpsError as error:
        log.events().warning("no_rclone", reason=error.message)
        return None


# -------------------------------------------------------------------------------------------------
# The targets of an experiment, for `hps check`.


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTargets:
    """What was found of each target, free of secrets, and the exit code that this means."""

    checked: tuple[TargetCheck, ...]
    code: int


def check_here(
    spec: Spec, env: Mapping[str, str], log_style: log.Format, wait_s: float
) -> CheckedTargets:
    """Try the targets from this machine, for `wait_s` again where one can't be reached.

    Raises `HpsError` where it can't begin.
    """
    scrubber = configure_log(spec, env, log_style)
    run_id = run.identify(spec, env, datetime.now(UTC)).run_id
    with on_signals() as stop, open_tools(spec, env) as tools:
        waiting = Waiting(most_s=wait_s, sleep=stop.wait, event=log.events().warning)
        found = check_targets(expand(spec), run_id, tools, stop, waiting, embedded=True)
        code = stop.exit_code if stop.is_set() else _code(found.checked)
    return CheckedTargets(checked=tuple(_clean(one, scrubber) for one in found.checked), code=code)


def _code(checked: tuple[TargetCheck, ...]) -> int:
    wrong = [one.failure for one in checked if one.failure is not None]
    if any(why.is_of_the_experiment for why in wrong):
        return EXIT_USAGE
    return EXIT_OPERATION_FAILED if wrong else EXIT_OK


def _clean(one: TargetCheck, scrubber: Scrubber) -> TargetCheck:
    def clean(why: Failure | None) -> Failure | None:
        return None if why is None else why.with_text(scrubber.text(why.text))

    calls = tuple(replace(call, failure=clean(call.failure)) for call in one.calls)
    return replace(one, calls=calls)
