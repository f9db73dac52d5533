"""Before anything is measured: can every target of the plan be used, and if not, whose fault is it?

targets of the plan -> each checked -> what the run makes of it: go on, mend it, another node
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hps.model import Plan, Spec
from hps.node.probe.check import TargetCheck, Waiting, check_all
from hps.process.stop import SignalStop
from hps.run.environment import Tools
from hps.run.session import Preflight
from hps.run_folder import CHECK, run_folder


def used_targets(plan: Plan) -> tuple[str, ...]:
    """The targets that operations use, in the order of the experiment."""
    names = {operation.cell.knobs.target for operation in plan.operations}
    return tuple(name for name in plan.spec.targets if name in names)


def _probed(spec: Spec) -> tuple[str, ...]:
    """The target that bandwidth is measured to, where it is asked for."""
    rules = spec.node
    asked = rules.min_upload_mbps is not None or rules.min_download_mbps is not None
    ours = asked and rules.probe.method == "target"
    return (rules.probe.target or spec.results.target,) if ours else ()


def check_targets(
    plan: Plan,
    run_id: str,
    tools: Tools,
    stop: SignalStop,
    waiting: Waiting,
    *,
    embedded: bool = False,
) -> Preflight:
    """Check each target that the plan uses, the one that is probed, and that of the results.

    `embedded` targets are this program's own: checked only where somebody wants to see it.
    """
    used = used_targets(plan)
    names = dict.fromkeys((*used, *_probed(plan.spec), plan.spec.results.target))
    folder = run_folder(plan.spec.name, run_id).key
    links = {
        name: (tools.link(name, f"{folder}/{CHECK}{number}", stop), tools.targets[name])
        for number, name in enumerate(names)
        if embedded or plan.spec.targets[name].provider != "embedded"
    }
    checked = check_all(links, multipart=_in_parts(plan), patient=used, waiting=waiting)
    return judge(checked, used, plan.spec.results.target)


def judge(checked: tuple[TargetCheck, ...], used: Sequence[str], results: str) -> Preflight:
    """What to make of the checks: a mistake anywhere comes first, then what is away.

    Of a target that no data moves to, only a mistake keeps a run from beginning: what a probe that
    fails is worth is for the experiment's rules to say.
    """
    wrong = [(one.target, one.failure) for one in checked if one.failure is not None]
    in_order = sorted(wrong, key=lambda one: not one[1].is_of_the_experiment)
    for name, why in in_order:
        if name in used or why.is_of_the_experiment:
            named = replace(why, text=f"target '{name}': {why.text}")
            return Preflight(checked=checked, failure=named, target=name)
    away = next((why for name, why in wrong if name == results), None)
    return Preflight(checked=checked, away=away)


def _in_parts(plan: Plan) -> frozenset[str]:
    """The targets that uploads in parts go to."""
    return frozenset(
        operation.cell.knobs.target
        for operation in plan.operations
        if operation.direction == "up"
        and operation.requested is not None
        and operation.requested.chunk_size_bytes < operation.cell.knobs.size_bytes
    )
