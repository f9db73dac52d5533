"""The cells of an experiment: the product of its axes, less what is excluded, plus what is added.

Pure, and shared by the checks of a spec and by the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from types import MappingProxyType

from hps.model import DEFAULT, KNOBS, SIZE_KNOBS, STEP_KNOBS, Cell, Data, Knobs, KnobValue, Matrix
from hps.units import format_size

Values = Mapping[str, KnobValue]


def count_products(matrix: Matrix) -> int:
    """How many combinations the axes have, before `exclude` and `include`."""
    return prod(len(axis.rows) for axis in matrix.axes)


def expand(matrix: Matrix, data: Data, target: str) -> tuple[Cell, ...]:
    """All cells, in the order in which they are written; the last axis varies fastest.

    `target` is that of cells that name none. A cell that occurs twice is there twice.
    """
    return tuple(make_cell(values, data, target) for values in _values(matrix))


def make_cell(values: Values, data: Data, target: str) -> Cell:
    """The cell with these values of axes, and all other knobs from `data` and the defaults."""
    named = {knob: values[knob] for knob in KNOBS if knob in values}
    axes = {knob: canonical(knob, value) for knob, value in named.items()}
    base: dict[str, KnobValue] = dict.fromkeys(
        STEP_KNOBS if named.get("settings") == DEFAULT else (), DEFAULT
    )
    base |= {
        "target": target,
        "size": data.size_bytes,
        "files": data.files,
        "content": data.content,
        "layout": data.layout,
    }
    fields = {_field(knob): _declared(knob, value) for knob, value in (base | named).items()}
    return Cell(axes=MappingProxyType(axes), knobs=Knobs(**fields))  # type: ignore[arg-type]


def canonical(knob: str, value: KnobValue) -> str | int | bool:
    """A knob's value as `Cell.axes` has it: sizes as the shortest exact text."""
    return format_size(int(value)) if knob in SIZE_KNOBS and value != DEFAULT else value


def matches(values: Values, pattern: Values) -> bool:
    """True where the combination `values` has every value that the pattern names."""
    return all(knob in values and _same(values[knob], pattern[knob]) for knob in pattern)


def products(matrix: Matrix) -> Iterator[dict[str, KnobValue]]:
    """Every combination of the axes' values, before `exclude` and `include`."""
    names = [knob for axis in matrix.axes for knob in axis.knobs]
    for rows in product(*(axis.rows for axis in matrix.axes)):
        yield dict(zip(names, (value for row in rows for value in row), strict=True))


def _values(matrix: Matrix) -> Iterator[Values]:
    for values in products(matrix):
        if not any(matches(values, pattern) for pattern in matrix.exclude):
            yield values
    yield from matrix.include


def _same(left: KnobValue, right: KnobValue) -> bool:
    return type(left) is type(right) and left == right


def _declared(knob: str, value: KnobValue) -> KnobValue | None:
    return None if knob in STEP_KNOBS and value == DEFAULT else value


def _field(knob: str) -> str:
    return f"{knob}_bytes" if knob in SIZE_KNOBS else knob


def default_target(targets: tuple[str, ...], results_target: str) -> str | None:
    """The target of cells that name none: the only one, or the only one that is not for results.

    None where several are left.
    """
    others = [name for name in targets if name != results_target]
    if len(targets) == 1:
        return targets[0]
    return others[0] if len(others) == 1 else None
