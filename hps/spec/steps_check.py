"""The steps of a trial, and what each needs to come before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hps.model import SIZE_KNOBS, KnobValue, Step
from hps.spec.nodes import (
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    as_count,
    as_scalar,
    problem_at,
)
from hps.spec.problems import Problem
from hps.spec.validate import Checked
from hps.step_kinds import SETTING_FIELDS, STEP_KINDS, UPLOADS, StepKind
from hps.units import parse_size_bytes, parse_time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedStep:
    """A step, where its name stands, and where its settings do."""

    kind: StepKind
    name: ScalarNode
    settings: Mapping[str, ScalarNode]

    def as_step(self) -> Step:
        """The step with its settings in base units."""
        settings = {
            SETTING_FIELDS.get(key, key): setting_value(key, node)
            for key, node in self.settings.items()
        }
        return Step(kind=self.kind.name, settings=MappingProxyType(settings))


def setting_value(key: str, node: ScalarNode) -> KnobValue | float:
    """A setting that was checked: bytes, seconds, a whole number, true or false, or a name."""
    if key in SIZE_KNOBS:
        return parse_size_bytes(str(node.value))
    if key in {"timeout", "duration"}:
        return parse_time_s(str(node.value))
    return node.value if isinstance(node.value, bool | str) else as_count(node)


def read_steps(checked: Checked) -> tuple[PlacedStep, ...]:
    """All steps; none where something is wrong with one of them."""
    steps = checked.good("steps")
    return tuple(_read(item) for item in steps.items) if isinstance(steps, ListNode) else ()


def check_order(steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each step that comes before what it needs, or after its object is deleted."""
    seen: list[str] = []
    deleted_on: int | None = None
    for step in steps:
        kind = step.kind
        if kind.needs and not any(need in seen for need in kind.needs):
            yield _too_early(step)
        elif kind.needs_object and deleted_on is not None:
            yield _too_late(step, deleted_on)
        if kind.name in UPLOADS:
            deleted_on = None
        elif kind.name == "delete" and deleted_on is None:
            deleted_on = step.name.mark.line
        seen.append(kind.name)


def _read(item: Node) -> PlacedStep:
    if isinstance(item, MapNode):
        (name, below), *_ = item.entries
        entries = below.entries if isinstance(below, MapNode) else ()
        settings = {str(k.value): v for k, v in entries if isinstance(v, ScalarNode)}
    else:
        name, settings = as_scalar(item), {}
    return PlacedStep(kind=STEP_KINDS[str(name.value)], name=name, settings=settings)


def _too_early(step: PlacedStep) -> Problem:
    needs = " or ".join(step.kind.needs)
    message = f"'{step.kind.name}' comes before what it needs"
    hint = f"expected {needs} in an earlier step"
    return problem_at(step.name.mark, message, rule="step-order", hint=hint)


def _too_late(step: PlacedStep, deleted_on: int) -> Problem:
    message = f"'{step.kind.name}' needs the objects that 'delete' on line {deleted_on} removes"
    hint = f"move it before that step, or put {' or '.join(UPLOADS)} between the two"
    return problem_at(step.name.mark, message, rule="step-order", hint=hint)
