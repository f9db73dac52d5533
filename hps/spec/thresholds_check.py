"""Thresholds of an experiment: each is about what the experiment does."""

from __future__ import annotations

from collections.abc import Iterator

from hps import gates
from hps.spec.nodes import ListNode, ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.steps_check import PlacedStep
from hps.spec.validate import Checked
from hps.spec.wording import name_of


def check_thresholds(checked: Checked, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each threshold about a step that no trial has: it could never be met."""
    listed = checked.root.get("thresholds")
    present = dict.fromkeys(step.kind.name for step in steps)
    for index, node in enumerate(listed.items if isinstance(listed, ListNode) else ()):
        path = ("thresholds", index)
        if not present or not checked.is_good(path) or not isinstance(node, ScalarNode):
            continue
        step = gates.parse(str(node.value)).step
        if step and step not in present:
            message = f"{name_of(path)} is about '{step}', which is no step of this experiment"
            hint = f"steps here: {', '.join(present)}"
            yield problem_at(node.mark, message, rule="threshold-step", hint=hint)
