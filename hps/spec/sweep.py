"""The sweep as a whole: every axis with its places, and what the cells fall back on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from hps.cells import canonical, make_cell, matches, products
from hps.model import Cell, Content, Data, KnobValue, Layout, Matrix
from hps.spec.axes import Placed, PlacedAxis, PlacedEntry, knob_value, read_axes, read_entries
from hps.spec.nodes import MapNode, ScalarNode
from hps.spec.problems import Problem
from hps.spec.quote import quoted
from hps.spec.targets_check import cell_target
from hps.spec.validate import Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """A cell, and the entry of `include` that it comes from, if it does."""

    cell: Cell
    entry: PlacedEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The axes, `exclude` and `include` that nothing is wrong with, and the data they vary.

    `is_whole`: nothing is missing from it because of a problem. `data_nodes`: what `data` says.
    """

    axes: tuple[PlacedAxis, ...]
    exclude: tuple[PlacedEntry, ...]
    include: tuple[PlacedEntry, ...]
    data_nodes: Mapping[str, ScalarNode]
    target: str
    is_whole: bool
    places: Mapping[tuple[str, KnobValue], Placed] = field(default_factory=dict)

    @property
    def matrix(self) -> Matrix:
        """The matrix without its places."""
        return Matrix(
            axes=tuple(axis.as_axis() for axis in self.axes),
            exclude=tuple(entry.as_values() for entry in self.exclude),
            include=tuple(entry.as_values() for entry in self.include),
        )

    @property
    def data(self) -> Data:
        """The payload; where `size` is given by an axis alone, the axis' first size."""
        content: Content = "zeros" if self._data("content") == "zeros" else "random"
        layout: Layout = "nested" if self._data("layout") == "nested" else "flat"
        size, files = self._data("size"), self._data("files")
        first = next((value for knob, value in self.places if knob == "size"), 0)
        return Data(
            size_bytes=int(first if size is None else size),
            files=1 if files is None else int(files),
            content=content,
            layout=layout,
        )

    def has_axis(self, knob: str) -> bool:
        """True where the knob varies."""
        return any(knob in axis.knobs for axis in self.axes)

    def points(self, knobs: Collection[str]) -> Iterator[SweepPoint]:
        """Every cell, as far as these knobs tell cells apart."""
        matrix, data = self.matrix, self.data
        if not matrix.exclude:
            axes = tuple(axis for axis in matrix.axes if any(knob in knobs for knob in axis.knobs))
            matrix = Matrix(axes=axes)
        for values in _distinct(matrix, knobs):
            yield SweepPoint(cell=make_cell(dict(values), data, self.target))
        for entry in self.include:
            yield SweepPoint(cell=make_cell(entry.as_values(), data, self.target), entry=entry)

    def place(self, knob: str, value: KnobValue, entry: PlacedEntry | None) -> ScalarNode | None:
        """Where a cell's value of a knob is written; None where it is a default."""
        if entry is not None and knob in entry.values:
            return entry.values[knob].node
        placed = self.places.get((knob, value)) if entry is None else None
        return placed.node if placed is not None else self.data_nodes.get(knob)

    def _data(self, knob: str) -> KnobValue | None:
        node = self.data_nodes.get(knob)
        return knob_value(knob, node) if node is not None else None


def read_sweep(checked: Checked, problems: list[Problem]) -> Sweep:
    """The sweep of a tree; adds what is wrong with its axes to `problems`."""
    before = len(problems)
    axes = read_axes(checked, problems)
    is_good = checked.is_good(("matrix",)) and checked.is_good(("data",))
    target = cell_target(checked)
    return Sweep(
        axes=axes,
        exclude=read_entries(checked, "exclude"),
        include=read_entries(checked, "include"),
        data_nodes=_data_nodes(checked),
        target=target or "",
        is_whole=is_good and len(problems) == before,
        places=_places(axes),
    )


def said(knob: str, value: KnobValue, node: ScalarNode | None) -> str:
    """A value in a message: as it was written where a variable filled it in."""
    if node is not None and node.filled_from:
        return quoted(node.text)
    return str(canonical(knob, value))


def _distinct(
    matrix: Matrix, knobs: Collection[str]
) -> Iterator[tuple[tuple[str, KnobValue], ...]]:
    seen = set()
    for values in products(matrix):
        if any(matches(values, pattern) for pattern in matrix.exclude):
            continue
        key = tuple((knob, value) for knob, value in values.items() if knob in knobs)
        if key not in seen:
            seen.add(key)
            yield key


def _data_nodes(checked: Checked) -> dict[str, ScalarNode]:
    data = checked.root.get("data")
    entries = data.entries if isinstance(data, MapNode) else ()
    return {
        str(key.value): node
        for key, node in entries
        if isinstance(node, ScalarNode) and checked.is_good(("data", str(key.value)))
    }


def _places(axes: tuple[PlacedAxis, ...]) -> dict[tuple[str, KnobValue], Placed]:
    places: dict[tuple[str, KnobValue], Placed] = {}
    for axis in axes:
        for knob, placed in chain.from_iterable(
            zip(axis.knobs, row, strict=True) for row in axis.rows
        ):
            places.setdefault((knob, placed.value), placed)
    return places
