"""The axes of the matrix, and the entries of `exclude` and `include`, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from hps.model import KNOBS, SIZE_KNOBS, Axis, KnobValue
from hps.spec.problems import Problem
from hps.spec.validate import Checked
from hps.spec.wording import say
from hps.spec.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    as_count,
    as_mapping,
    as_scalar,
    problem_at,
)
from hps.units import parse_size_bytes

MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A knob's value and where it was written."""

    value: KnobValue
    node: ScalarNode


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedAxis:
    """An axis: `rows` has one tuple per point, with one value per name in `knobs`."""

    key: ScalarNode
    knobs: tuple[str, ...]
    knob_keys: tuple[ScalarNode, ...]
    rows: tuple[tuple[Placed, ...], ...]

    def as_axis(self) -> Axis:
        """The axis without its places."""
        rows = tuple(tuple(one.value for one in row) for row in self.rows)
        return Axis(knobs=self.knobs, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEntry:
    """One entry of `exclude` or `include`."""

    node: MapNode
    values: Mapping[str, Placed]

    def as_values(self) -> dict[str, KnobValue]:
        """The entry without its places."""
        return {knob: placed.value for knob, placed in self.values.items()}


def placed(knob: str, node: ScalarNode) -> Placed:
    """A scalar that was checked, as a knob's value in base units."""
    return Placed(value=knob_value(knob, node), node=node)


def knob_value(knob: str, node: ScalarNode) -> KnobValue:
    """Bytes for sizes, a whole number for counts, else what it says."""
    if knob in SIZE_KNOBS:
        return parse_size_bytes(str(node.value))
    return node.value if isinstance(node.value, bool | str) else as_count(node)


def read_axes(checked: Checked, problems: list[Problem]) -> tuple[PlacedAxis, ...]:
    """Every axis that nothing is wrong with; adds what the schema could not see to `problems`."""
    matrix = checked.root.get("matrix")
    axes = []
    for key, value in matrix.entries if isinstance(matrix, MapNode) else ():
        name = str(key.value)
        if name in {"exclude", "include"} or not checked.is_good(("matrix", name)):
            continue
        reader = _read_knob if name in KNOBS else _read_zip
        axes.append(reader(key, value, problems))
    found = tuple(axis for axis in axes if axis is not None)
    problems.extend(_repeated_knobs(found))
    problems.extend(_repeated_rows(found))
    return found


def read_entries(checked: Checked, which: str) -> tuple[PlacedEntry, ...]:
    """The good entries of `exclude` or `include`."""
    entries = checked.root.get("matrix")
    node = entries.get(which) if isinstance(entries, MapNode) else None
    found = []
    for index, item in enumerate(node.items if isinstance(node, ListNode) else ()):
        path: KeyPath = ("matrix", which, index)
        if isinstance(item, MapNode) and checked.is_good(path):
            values = {
                str(key.value): placed(str(key.value), value)
                for key, value in item.entries
                if isinstance(value, ScalarNode)
            }
            found.append(PlacedEntry(node=item, values=values))
    return tuple(found)


def _read_knob(key: ScalarNode, node: Node, problems: list[Problem]) -> PlacedAxis | None:
    knob = str(key.value)
    if isinstance(node, MapNode):
        values = _read_range(knob, node, problems)
    else:
        values = tuple(placed(knob, item) for item in _scalars(node))
    if not values:
        return None
    rows = tuple((value,) for value in values)
    return PlacedAxis(key=key, knobs=(knob,), knob_keys=(key,), rows=rows)


def _read_zip(key: ScalarNode, node: Node, problems: list[Problem]) -> PlacedAxis | None:
    lists = as_mapping(as_mapping(node).get("zip"))
    columns = [
        [placed(str(knob.value), item) for item in _scalars(below)] for knob, below in lists.entries
    ]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        said = ", ".join(
            f"{name} has {length}" for name, length in zip(lists.names(), lengths, strict=True)
        )
        message = f"the lists of zip '{key.value}' differ in length: {said}"
        hint = "expected one value in each list for each point on the axis"
        problems.append(problem_at(key.mark, message, rule="zip-length", hint=hint))
        return None
    keys = tuple(knob for knob, _ in lists.entries)
    rows = tuple(zip(*columns, strict=True))
    return PlacedAxis(key=key, knobs=lists.names(), knob_keys=keys, rows=rows)


def _read_range(knob: str, node: MapNode, problems: list[Problem]) -> tuple[Placed, ...]:
    inner = as_mapping(node.get("range"))
    fault = _range_fault(knob, inner)
    if fault is not None:
        problems.append(fault)
        return ()
    first = as_scalar(inner.get("from"))
    return tuple(Placed(value=value, node=first) for value in _range_values(knob, inner))


def _range_fault(knob: str, inner: MapNode) -> Problem | None:
    begin, end, step = (_number(knob, inner, name) for name in ("from", "to", "step"))
    is_log2 = _is_log2(inner)
    if begin > end:
        what = f"a range goes up, and {_said(inner, 'from')} is more than {_said(inner, 'to')}"
        return _fault(inner, "from", what, "bad-range", "exchange 'from' and 'to'")
    if is_log2 and inner.get("step") is not None:
        what = "a log2 range doubles, so it takes no 'step'"
        return _fault(inner, "step", what, "bad-range", "leave it out, or write scale: linear")
    if not is_log2 and knob in SIZE_KNOBS and inner.get("step") is None:
        what = "a linear range of sizes lacks 'step'"
        return _fault(inner, "from", what, "bad-range", "add 'step', or write scale: log2")
    count = 0 if is_log2 else (end - begin) // max(step, 1) + 1
    if count > MAX_VALUES:
        what = (
            f"this range has {count:,} values" if not _filled(inner) else "this range is too long"
        )
        hint = f"expected at most {MAX_VALUES:,}; write a larger 'step', or scale: log2"
        return _fault(inner, "from", what, "bad-range", hint)
    return _only_one(knob, inner)


def _only_one(knob: str, inner: MapNode) -> Problem | None:
    """A range that would vary nothing."""
    if len(list(islice(_range_values(knob, inner), 2))) > 1:
        return None
    first, last = _said(inner, "from"), _said(inner, "to")
    step = "twice that" if _is_log2(inner) else "one 'step' more"
    same = _number(knob, inner, "from") == _number(knob, inner, "to")
    why = "'to' is the same" if same else f"{step} is beyond {last}"
    what = f"this range has one value, {first}, since {why}"
    hint = "write a list of one where one value is wanted, else a larger 'to'"
    return _fault(inner, "to", what, "bad-range", hint)


def _range_values(knob: str, inner: MapNode) -> Iterator[int]:
    value, end, step = (_number(knob, inner, name) for name in ("from", "to", "step"))
    while value <= end:
        yield value
        value = value * 2 if _is_log2(inner) else value + max(step, 1)


def _fault(inner: MapNode, key: str, message: str, rule: str, hint: str) -> Problem:
    node = inner.get(key)
    mark = node.mark if node is not None else inner.mark
    return problem_at(mark, message, rule=rule, hint=hint)


def _is_log2(inner: MapNode) -> bool:
    scale = inner.get("scale")
    return isinstance(scale, ScalarNode) and scale.value == "log2"


def _number(knob: str, inner: MapNode, name: str) -> int:
    node = inner.get(name)
    return int(knob_value(knob, node)) if isinstance(node, ScalarNode) else 1


def _said(inner: MapNode, name: str) -> str:
    return say(inner.get(name))


def _filled(inner: MapNode) -> bool:
    return any(isinstance(node, ScalarNode) and node.filled_from for _, node in inner.entries)


def _scalars(node: Node) -> Iterator[ScalarNode]:
    items = node.items if isinstance(node, ListNode) else (node,)
    for item in items:
        if isinstance(item, ScalarNode):
            yield item


def _repeated_knobs(axes: tuple[PlacedAxis, ...]) -> Iterator[Problem]:
    seen: dict[str, PlacedAxis] = {}
    for axis in axes:
        for knob, key in zip(axis.knobs, axis.knob_keys, strict=True):
            if knob in seen:
                first = seen[knob]
                message = f"'{knob}' varies twice"
                hint = f"it is on axis '{first.key.value}' (line {first.key.mark.line}) already"
                yield problem_at(key.mark, message, rule="repeated-knob", hint=hint)
            seen.setdefault(knob, axis)


def _repeated_rows(axes: tuple[PlacedAxis, ...]) -> Iterator[Problem]:
    for axis in axes:
        seen: dict[tuple[KnobValue, ...], ScalarNode] = {}
        for row in axis.rows:
            values = tuple(one.value for one in row)
            node = row[0].node
            if values in seen:
                message = f"{_row_text(row)} occurs twice on axis '{axis.key.value}'"
                hint = f"the first is {_first_place(seen[values], node)}; each cell runs once"
                yield problem_at(node.mark, message, rule="duplicate-value", hint=hint)
            seen.setdefault(values, node)


def _row_text(row: tuple[Placed, ...]) -> str:
    return " with ".join(say(one.node) for one in row)


def _first_place(first: ScalarNode, second: ScalarNode) -> str:
    if first.mark.line == second.mark.line:
        return f"{say(first)} in column {first.mark.column}"
    return f"{say(first)} on line {first.mark.line}"
