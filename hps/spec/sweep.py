"""The sweep of an experiment: axes, exclusions and additions with their places, and the cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain, islice

from hps.model import (
    DEFAULT,
    KNOBS,
    SIZE_KNOBS,
    Axis,
    Cell,
    Content,
    Data,
    Knobs,
    KnobValue,
    Layout,
    Matrix,
)
from hps.plan.cells import canonical, count_products, default_target, make_cell, matches, products
from hps.spec.problems import Problem, quoted
from hps.spec.schema import Checked
from hps.spec.wording import describe, key_mark, near
from hps.spec.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Mark,
    Node,
    ScalarNode,
    as_count,
    as_mapping,
    as_scalar,
    problem_at,
)
from hps.units import parse_size_bytes

# -------------------------------------------------------------------------------------------------
# The axes of the matrix, and the entries of `exclude` and `include`, with their places.

MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A knob's value and where it was written."""

    value: KnobValue
    node: ScalarNode


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedAxis:
    """An `Axis` with places: `rows` has one tuple per point, with one value per name in `knobs`."""

    key: ScalarNode
    knobs: tuple[str, ...]
    knob_keys: tuple[ScalarNode, ...]
    rows: tuple[tuple[Placed, ...], ...]

    def as_axis(self) -> Axis:
        rows = tuple(tuple(placed.value for placed in row) for row in self.rows)
        return Axis(knobs=self.knobs, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEntry:
    """One entry of `exclude` or `include`."""

    node: MapNode
    values: Mapping[str, Placed]

    def as_values(self) -> dict[str, KnobValue]:
        return {knob: placed.value for knob, placed in self.values.items()}


def placed(knob: str, node: ScalarNode) -> Placed:
    """A scalar that the schema accepted, as a knob's value in base units."""
    return Placed(value=knob_value(knob, node), node=node)


def knob_value(knob: str, node: ScalarNode) -> KnobValue:
    """Bytes for sizes, a whole number for counts, else the value itself."""
    if knob in SIZE_KNOBS and node.value != DEFAULT:
        return parse_size_bytes(str(node.value))
    return node.value if isinstance(node.value, bool | str) else as_count(node)


def read_axes(checked: Checked, problems: list[Problem]) -> tuple[PlacedAxis, ...]:
    """Every axis that nothing is wrong with; adds problems that the schema can't express."""
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
    """The entries of `exclude` or `include` that have no problem."""
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
        counts = ", ".join(
            f"{name} has {length}" for name, length in zip(lists.names(), lengths, strict=True)
        )
        message = f"the lists of zip '{key.value}' differ in length: {counts}"
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
        what = (
            f"a range goes up, and {_written(inner, 'from')} is more than {_written(inner, 'to')}"
        )
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
    return _single_value(knob, inner)


def _single_value(knob: str, inner: MapNode) -> Problem | None:
    """The problem of a range with a single value."""
    if len(list(islice(_range_values(knob, inner), 2))) > 1:
        return None
    first, last = _written(inner, "from"), _written(inner, "to")
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


def _written(inner: MapNode, name: str) -> str:
    return describe(inner.get(name))


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
            values = tuple(placed.value for placed in row)
            node = row[0].node
            if values in seen:
                message = f"{_row_text(row)} occurs twice on axis '{axis.key.value}'"
                hint = f"the first is {_first_place(seen[values], node)}; each cell runs once"
                yield problem_at(node.mark, message, rule="duplicate-value", hint=hint)
            seen.setdefault(values, node)


def _row_text(row: tuple[Placed, ...]) -> str:
    return " with ".join(describe(placed.node) for placed in row)


def _first_place(first: ScalarNode, second: ScalarNode) -> str:
    if first.mark.line == second.mark.line:
        return f"{describe(first)} in column {first.mark.column}"
    return f"{describe(first)} on line {first.mark.line}"


# -------------------------------------------------------------------------------------------------
# The sweep as a whole, with the data that cells use where no axis varies it.


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """A cell, and the entry of `include` that adds it; None for a cell of the axes."""

    cell: Cell
    entry: PlacedEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The axes and entries that nothing is wrong with, and the data that they vary.

    `data_nodes` are the values of `data` by key, `places` those of axes by knob and value. `target`
    is that of cells that name none. `is_whole`: no problem kept anything out of the sweep.
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
        return any(knob in axis.knobs for axis in self.axes)

    def points(self, knobs: Collection[str]) -> Iterator[SweepPoint]:
        """The cells of the axes, one for each combination of these knobs, and those of `include`.

        Other knobs may have any of their values.
        """
        matrix, data = self.matrix, self.data
        if not matrix.exclude:
            axes = tuple(axis for axis in matrix.axes if any(knob in knobs for knob in axis.knobs))
            matrix = Matrix(axes=axes)
        for values in _distinct(matrix, knobs):
            yield SweepPoint(cell=make_cell(dict(values), data, self.target))
        for entry in self.include:
            yield SweepPoint(cell=make_cell(entry.as_values(), data, self.target), entry=entry)

    def place(self, knob: str, value: KnobValue, entry: PlacedEntry | None) -> ScalarNode | None:
        """The node of a cell's value of a knob; None where that is a default."""
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


def target_names(checked: Checked) -> tuple[str, ...]:
    targets = checked.root.get("targets")
    return targets.names() if isinstance(targets, MapNode) else ()


def cell_target(checked: Checked) -> str | None:
    """The target of cells that name none, as `default_target`; None where that is unclear."""
    names = target_names(checked)
    results = checked.good("results", "target")
    if len(names) > 1 and not isinstance(results, ScalarNode):
        # Without the target of the results, any of them may be that of the cells.
        return None
    return default_target(names, str(results.value) if isinstance(results, ScalarNode) else "")


def value_text(knob: str, value: KnobValue, node: ScalarNode | None) -> str:
    """A value in a message: in canonical form, or as written where a variable filled it in."""
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
# Checks of the cells: there are some and not too many, each is unique, and each has a size.

MAX_CELLS = 100_000
MAX_OPERATIONS = 100_000
MAX_EXCLUDE_TESTS = 1_000_000


def check_cells(checked: Checked, sweep: Sweep, steps: int) -> Iterator[Problem]:
    """Every problem of the cells. `steps` is the number of a trial's steps, 0 where unknown."""
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
        f"{knob} {value_text(knob, value, entry.values[knob].node)}"
        for knob, value in pattern.items()
    )
    message = f"{values} is excluded, and no cell has it"
    hint = "expected values that are on the axes"
    return problem_at(mark, message, rule="exclude-matches-nothing", hint=hint)


def _repeats(sweep: Sweep) -> Iterator[Problem]:
    seen: dict[Knobs, PlacedEntry] = {}
    for entry in sweep.include:
        knobs = make_cell(entry.as_values(), sweep.data, sweep.target).knobs
        hint = "each cell runs once; raise 'repetitions' to measure it more often"
        if knobs in seen:
            line = seen[knobs].node.mark.line
            message = f"this cell is the one on line {line} again"
            yield problem_at(entry.node.mark, message, rule="duplicate-cell", hint=hint)
        elif _is_product(sweep, _values(knobs)):
            message = "this cell is one of the matrix already"
            yield problem_at(entry.node.mark, message, rule="duplicate-cell", hint=hint)
        seen.setdefault(knobs, entry)


def _is_product(sweep: Sweep, values: Mapping[str, KnobValue]) -> bool:
    """True where the axes make a cell of exactly these values, and it is not excluded."""
    matrix = sweep.matrix
    on_axes = {knob for axis in matrix.axes for knob in axis.knobs}
    named = {"settings": values["settings"]} if "settings" in on_axes else {}
    base = _values(make_cell(named, sweep.data, sweep.target).knobs)
    if any(values[knob] != base[knob] for knob in values if knob not in on_axes):
        return False
    if any(tuple(values[knob] for knob in axis.knobs) not in axis.rows for axis in matrix.axes):
        return False
    varied = {knob: values[knob] for knob in on_axes}
    return not any(matches(varied, pattern) for pattern in matrix.exclude)


def _values(knobs: Knobs) -> dict[str, KnobValue]:
    by_field = {field.name: getattr(knobs, field.name) for field in fields(knobs)}
    return {
        name.removesuffix("_bytes"): DEFAULT if value is None else value
        for name, value in by_field.items()
    }
