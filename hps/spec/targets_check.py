"""Which target things refer to: names that must be declared, and the one that cells use."""

from __future__ import annotations

from collections.abc import Iterator

from hps.cells import default_target
from hps.spec.axes import PlacedAxis, PlacedEntry
from hps.spec.nodes import MapNode, ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.quote import quoted
from hps.spec.validate import Checked
from hps.spec.wording import key_mark, near, say


def target_names(checked: Checked) -> tuple[str, ...]:
    """The names of the declared targets, in order."""
    targets = checked.root.get("targets")
    return targets.names() if isinstance(targets, MapNode) else ()


def cell_target(checked: Checked) -> str | None:
    """The target of cells that name none: the only one, or the only one not for results."""
    names = target_names(checked)
    results = checked.good("results", "target")
    if len(names) > 1 and not isinstance(results, ScalarNode):
        # Which of several is for results was not said, so the others are no better choice.
        return None
    return default_target(names, str(results.value) if isinstance(results, ScalarNode) else "")


def check_targets(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    """Every name of a target that is not declared, and cells that have no target."""
    names = target_names(checked)
    if not names:
        return
    for node in _references(checked, axes, included):
        if node.value not in names:
            hint = f"declared under 'targets': {', '.join(map(quoted, names))}"
            yield problem_at(
                node.mark,
                f"there is no target {say(node)}",
                rule="unknown-target",
                hint=hint,
                suggestion=near(str(node.value), names),
            )
    yield from _unnamed(checked, axes, included)


def _references(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[ScalarNode]:
    for path in (("results", "target"), ("node", "probe", "target")):
        node = checked.good(*path)
        if isinstance(node, ScalarNode):
            yield node
    for axis in axes:
        for row in axis.rows:
            pairs = zip(axis.knobs, row, strict=True)
            yield from (placed.node for knob, placed in pairs if knob == "target")
    for entry in included:
        if "target" in entry.values:
            yield entry.values["target"].node


def _unnamed(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    has_bad_name = any(("targets", name) in checked.bad for name in target_names(checked))
    if has_bad_name or cell_target(checked) is not None or not checked.is_good(("results",)):
        return
    names = ", ".join(target_names(checked))
    matrix = checked.root.get("matrix")
    has_axis = any("target" in axis.knobs for axis in axes)
    has_axis = has_axis or (isinstance(matrix, MapNode) and matrix.get("target") is not None)
    if not has_axis:
        mark = key_mark(checked.root, ("targets",))
        message = f"there are several targets ({names}), and nothing says which one data moves to"
        hint = f"add matrix.target: [{names}], or name the one for results under results.target"
        yield problem_at(mark, message, rule="target-required", hint=hint)
        return
    for entry in included:
        if "target" not in entry.values:
            message = f"this cell names none of the targets ({names})"
            yield problem_at(entry.node.mark, message, rule="target-required", hint="add 'target'")
