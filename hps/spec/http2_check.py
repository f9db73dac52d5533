"""HTTP/2 that is asked of a target which has no TLS: no result of it could be valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from hps.spec.nodes import ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.steps_check import PlacedStep
from hps.spec.sweep import Sweep, SweepPoint
from hps.spec.validate import Checked

_KNOBS = frozenset({"target", "http2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """Where HTTP/2 is asked for and of which target; `fixed`: in a step or in a cell of its own."""

    node: ScalarNode
    target: str
    fixed: bool


def check_http2(checked: Checked, sweep: Sweep, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each place that asks for HTTP/2, and each target that can't speak it."""
    seen: set[tuple[ScalarNode, str]] = set()
    for point in sweep.points(_KNOBS) if _is_named(sweep, steps) else ():
        for step in steps:
            wish = _wish(sweep, point, step)
            if wish is None or (wish.node, wish.target) in seen:
                continue
            seen.add((wish.node, wish.target))
            why = _why_not(checked, wish.target)
            if why:
                yield _problem(sweep, wish, why)


def _is_named(sweep: Sweep, steps: tuple[PlacedStep, ...]) -> bool:
    """False where no cell has to be looked at: HTTP/2 is off by default."""
    settings = (step.settings for step in steps)
    values = (entry.values for entry in sweep.include)
    return sweep.has_axis("http2") or any("http2" in one for one in (*settings, *values))


def _wish(sweep: Sweep, point: SweepPoint, step: PlacedStep) -> _Wish | None:
    """What a step asks for in a cell: its own setting wins over the cell's."""
    if "http2" not in step.kind.settings:
        return None
    knobs = point.cell.knobs
    own = step.settings.get("http2")
    node = own if own is not None else sweep.place("http2", True, point.entry)
    asked = own.value is True if own is not None else knobs.http2
    if not asked or node is None:
        return None
    return _Wish(node=node, target=knobs.target, fixed=own is not None or point.entry is not None)


def _why_not(checked: Checked, target: str) -> str:
    provider = checked.good("targets", target, "provider")
    if isinstance(provider, ScalarNode) and provider.value == "embedded":
        return "is embedded, and so plain HTTP"
    endpoint = checked.good("targets", target, "endpoint")
    if isinstance(endpoint, ScalarNode) and urlsplit(str(endpoint.value)).scheme == "http":
        return "has an endpoint of http://"
    return ""


def _problem(sweep: Sweep, wish: _Wish, why: str) -> Problem:
    message = f"HTTP/2 is asked for, and target '{wish.target}' {why}"
    advice = "write false here"
    if not wish.fixed and sweep.has_axis("target"):
        advice = f"leave true out, or exclude {{target: {wish.target}, http2: true}}"
    hint = f"HTTP/2 needs https; {advice}"
    return problem_at(wish.node.mark, message, rule="http2-without-https", hint=hint)
