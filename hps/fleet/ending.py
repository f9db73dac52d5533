"""The end of a fleet by its bucket: for all of its nodes, from any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from hps.errors import HpsError
from hps.model import Spec
from hps.plan.expand import expand
from hps.process.stop import NEVER
from hps.run.fleet import end_for_all, look, name_of
from hps.run.session import open_tools
from hps.targets.bucket import Link


def end_fleet(spec: Spec, env: Mapping[str, str], why: str) -> None:
    """Let no node of the experiment's fleet begin, and those at work end after their operation.

    Raises `HpsError` where that can't be stored in the bucket.
    """
    with _open_results(spec, env) as link:
        end_for_all(link, name_of(spec.sha256, env), why)


def check_not_over(spec: Spec, env: Mapping[str, str]) -> None:
    """Raise `HpsError` where the fleet is over, so that new nodes would leave at once."""
    name, cells = name_of(spec.sha256, env), len(expand(spec).cells)
    with _open_results(spec, env) as link:
        known = look(link, name, cells)
    wanted = spec.fleet.nodes if spec.fleet else None
    is_enough = wanted is not None and len(known.done) >= wanted
    if is_enough or known.over:
        why = "as many as are wanted have measured" if is_enough else "it was ended for all nodes"
        hint = "HPS_FLEET with another name begins another fleet"
        raise HpsError(f"the fleet {name} is over: {why}", hint)


@contextmanager
def _open_results(spec: Spec, env: Mapping[str, str]) -> Iterator[Link]:
    """The experiment's folder of results. No other target's keys are needed for it."""
    target = spec.targets[spec.results.target]
    alone = replace(spec, targets=MappingProxyType({target.name: target}))
    with open_tools(alone, env) as tools:
        folder = "/".join(part for part in (spec.results.folder, spec.name) if part)
        yield tools.link(target.name, folder, NEVER)
