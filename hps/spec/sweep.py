"""The sweep as a whole: every axis with its places, and what the cells fall back on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain

from hps.model import Cell, Content, Data, Knobs, KnobValue, Layout, Matrix
from hps.plan.cells import canonical, count_products, make_cell, matches, products
from hps.spec.axes import Placed, PlacedAxis, PlacedEntry, knob_value, read_axes, read_entries
from hps.spec.problems import Problem
from hps.spec.quote import quoted
from hps.spec.targets import cell_target
from hps.spec.validate import Checked
from hps.spec.wording import key_mark, near
from hps.spec.yaml_tree import MapNode, Mark, ScalarNode, problem_at


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


# -------------------------------------------------------------------------------------------------
# The cells that a sweep makes: not too many, at least one, none twice, each with a size.

MAX_CELLS = 100_000
MAX_OPERATIONS = 100_000
MAX_EXCLUDE_TESTS = 1_000_000


def check_cells(checked: Checked, sweep: Sweep, steps: int) -> Iterator[Problem]:
    """Every problem of the cells. `steps` is how many a trial has, 0 where that is not known."""
    yield from _size_required(checked, sweep)
    too_many = list(_too_many_cells(checked, sweep))
    yield from too_many
    if too_many or not sweep.is_whole:
        return
    useless = [problem for entry in sweep.exclude for problem in _useless(sweep, entry)]
    yield from useless
    yield from _repeats(sweep)
    cells = _count_kept(sweep) + len(sweep.include)
    mark = key_mark(checked.root, ("matrix",))
    if cells == 0:
        hint = "leave some combination in, or add a cell under 'include'"
        yield problem_at(mark, "every cell is excluded", rule="no-cells", hint=hint)
    yield from _too_many_operations(checked, cells, steps)


def fits(checked: Checked, sweep: Sweep) -> bool:
    """True where the cells are few enough to be looked at one by one."""
    return not list(_too_many_cells(checked, sweep))


def _size_required(checked: Checked, sweep: Sweep) -> Iterator[Problem]:
    data, matrix = checked.root.get("data"), checked.root.get("matrix")
    known = data.names() if isinstance(data, MapNode) else ()
    if "size" in known or not checked.is_good(("data", "size")) or _has_typo(known):
        return
    if "size" in checked.root.names():  # in the wrong place, which is reported
        return
    swept = sweep.has_axis("size") or (isinstance(matrix, MapNode) and "size" in matrix.names())
    hint = "add data.size, such as 200MiB, or an axis 'size'"
    if not swept:
        mark = key_mark(checked.root, ("data",))
        owner = "'data'" if data is not None else "the file"
        missing = "size" if data is not None else "data.size"
        yield problem_at(mark, f"{owner} lacks '{missing}'", rule="missing-key", hint=hint)
        return
    for entry in sweep.include:
        if "size" not in entry.values:
            what = "this cell has no size"
            yield problem_at(entry.node.mark, what, rule="missing-key", hint="add 'size' to it")


def _has_typo(names: tuple[str, ...]) -> bool:
    others = [name for name in names if name not in {"files", "content", "layout"}]
    return bool(near("size", others))


def _too_many_cells(checked: Checked, sweep: Sweep) -> Iterator[Problem]:
    lengths = [len(axis.rows) for axis in sweep.axes]
    count = count_products(sweep.matrix)
    mark = key_mark(checked.root, ("matrix",))
    if count + len(sweep.include) > MAX_CELLS:
        factors = " x ".join(f"{length:,}" for length in lengths)
        message = f"the axes make {count:,} cells ({factors})"
        hint = f"expected at most {MAX_CELLS:,}; shorten an axis, or vary knobs together by 'zip'"
        yield problem_at(mark, message, rule="too-many-cells", hint=hint)
    elif count * len(sweep.exclude) > MAX_EXCLUDE_TESTS:
        message = f"{count:,} cells are held against {len(sweep.exclude):,} entries of 'exclude'"
        hint = f"expected at most {MAX_EXCLUDE_TESTS:,} comparisons; shorten an axis, or 'exclude'"
        yield problem_at(mark, message, rule="too-many-cells", hint=hint)


def _too_many_operations(checked: Checked, cells: int, steps: int) -> Iterator[Problem]:
    if not checked.is_good(("repetitions",)) or not checked.is_good(("warmup",)):
        return
    trials = _count(checked, "repetitions", 1) + _count(checked, "warmup", 0)
    operations = cells * trials * steps
    if operations > MAX_OPERATIONS:
        path = "repetitions" if trials > cells else "matrix"
        message = f"this makes {operations:,} operations (cells x trials x steps)"
        hint = f"expected at most {MAX_OPERATIONS:,}; make fewer cells, repetitions or steps"
        mark = key_mark(checked.root, (path,))
        yield problem_at(mark, message, rule="too-many-operations", hint=hint)


def _count(checked: Checked, key: str, default: int) -> int:
    node = checked.root.get(key)
    return int(knob_value(key, node)) if isinstance(node, ScalarNode) else default


def _count_kept(sweep: Sweep) -> int:
    if not sweep.exclude:
        return count_products(sweep.matrix)
    matrix = sweep.matrix
    return sum(
        not any(matches(values, pattern) for pattern in matrix.exclude)
        for values in products(matrix)
    )


def _useless(sweep: Sweep, entry: PlacedEntry) -> Iterator[Problem]:
    axes = [knob for axis in sweep.axes for knob in axis.knobs]
    strange = [key for key, _ in entry.node.entries if key.value not in axes]
    for key in strange:
        hint = f"axes are {', '.join(axes)}" if axes else "there are no axes"
        message = f"'{key.value}' is excluded, and is no axis"
        yield problem_at(key.mark, message, rule="exclude-not-an-axis", hint=hint)
    if strange:
        return
    for axis in sweep.axes:
        pattern = {k: v.value for k, v in entry.values.items() if k in axis.knobs}
        rows = (dict(zip(axis.knobs, row, strict=True)) for row in axis.as_axis().rows)
        if pattern and not any(matches(row, pattern) for row in rows):
            yield _matches_nothing(entry, pattern)


def _matches_nothing(entry: PlacedEntry, pattern: Mapping[str, KnobValue]) -> Problem:
    mark: Mark = next(entry.values[knob].node.mark for knob in pattern)
    values = ", ".join(
        f"{knob} {said(knob, value, entry.values[knob].node)}" for knob, value in pattern.items()
    )
    message = f"{values} is excluded, and no cell has it"
    hint = "expected values that are on the axes"
    return problem_at(mark, message, rule="exclude-matches-nothing", hint=hint)


def _repeats(sweep: Sweep) -> Iterator[Problem]:
    base = make_cell({}, sweep.data, sweep.target).knobs
    seen: dict[Knobs, PlacedEntry] = {}
    for entry in sweep.include:
        knobs = make_cell(entry.as_values(), sweep.data, sweep.target).knobs
        hint = "each cell runs once; raise 'repetitions' to measure it more often"
        if knobs in seen:
            line = seen[knobs].node.mark.line
            message = f"this cell is the one on line {line} again"
            yield problem_at(entry.node.mark, message, rule="duplicate-cell", hint=hint)
        elif _is_product(sweep, _values(knobs), _values(base)):
            message = "this cell is one of the matrix already"
            yield problem_at(entry.node.mark, message, rule="duplicate-cell", hint=hint)
        seen.setdefault(knobs, entry)


def _is_product(
    sweep: Sweep, values: Mapping[str, KnobValue], base: Mapping[str, KnobValue]
) -> bool:
    """True where the axes make a cell of exactly these values, and it is not excluded."""
    matrix = sweep.matrix
    on_axes = {knob for axis in matrix.axes for knob in axis.knobs}
    if any(values[knob] != base[knob] for knob in values if knob not in on_axes):
        return False
    if any(tuple(values[knob] for knob in axis.knobs) not in axis.rows for axis in matrix.axes):
        return False
    varied = {knob: values[knob] for knob in on_axes}
    return not any(matches(varied, pattern) for pattern in matrix.exclude)


def _values(knobs: Knobs) -> dict[str, KnobValue]:
    by_field = {one.name: getattr(knobs, one.name) for one in fields(knobs)}
    return {name.removesuffix("_bytes"): value for name, value in by_field.items()}
