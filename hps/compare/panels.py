"""Stored results -> panels: the median of each node in each cell, counts, requests and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from hps.catalog import tools
from hps.catalog.providers import PROVIDERS
from hps.compare import drafts as titles
from hps.compare import grouping, words
from hps.compare.comparison import Floats, Key, Panel, PanelCell, Unit, direction_of, nodes_of
from hps.compare.drafts import Draft, DraftCell, drafts
from hps.compare.grouping import Kind, TargetPlace
from hps.compare.names import UNKNOWN
from hps.compare.selection import Asked
from hps.errors import HpsError
from hps.model import DEFAULT, Cell, Knobs, Operation, Provider, Settings, Step
from hps.plan.estimate import Requests, requests
from hps.units import parse_size_bytes

if TYPE_CHECKING:
    from hps.results.database import Connection


# -------------------------------------------------------------------------------------------------
# The requests that an operation makes, by the settings that its result has.

Values = Mapping[str, str | int | bool]
_NEEDED = ("size", "files", "chunk_size", "concurrency", "transfers")


def payload_bytes(values: Values) -> int:
    """The bytes that one operation moves.

    0 where its result does not say, or not what it takes to know the requests: then nothing for
    each GB is known, and not that there is none.
    """
    size, files = values["size"], values["files"]
    return (_bytes(size) or 0) * files if isinstance(files, int) and _all_known(values) else 0


def requests_of(step: str, values: Values, provider: str = "") -> Requests:
    """Those of one operation where nothing has to be repeated, its chunks as in the upload.

    None at all for steps that move nothing over the network, or for steps and tools that this
    version doesn't know. A provider that is not known is taken for one that speaks S3.
    """
    direction = direction_of(step)
    # Of a tool that was not told a size of chunks nobody knows how many there were.
    told = values["chunk_size"] != DEFAULT
    known = values["tool"] in tools.TOOL_FACTS and _all_known(values) and told
    if direction == "none" or not known:
        return Requests()
    known_provider = cast("Provider", provider if provider in PROVIDERS else "other")
    return requests(_operation(step, direction, values), provider=known_provider)


def _all_known(values: Values) -> bool:
    return UNKNOWN not in (values[name] for name in _NEEDED)


def _operation(step: str, direction: Literal["up", "down"], values: Values) -> Operation:
    """An operation with these settings, and nothing else to it."""
    asked = Settings(
        chunk_size_bytes=_bytes(values["chunk_size"]),
        concurrency=_count(values["concurrency"]),
        transfers=_count(values["transfers"]),
        http2=_switch(values["http2"]),
        checksum=_switch(values["checksum"]),
    )
    knobs = Knobs(
        target=str(values["target"]),
        tool=str(values["tool"]),
        size_bytes=_bytes(values["size"]) or 0,
        files=int(values["files"]),
        layout="nested" if values["layout"] == "nested" else "flat",
        chunk_size_bytes=asked.chunk_size_bytes,
    )
    return Operation(
        operation_id="",
        trial_id="",
        cell=Cell(axes={}, knobs=knobs),
        repetition=0,
        warmup=False,
        step=Step(kind=step),
        step_index=0,
        direction=direction,
        requested=asked,
        effective=tools.effective(knobs, asked, direction),
    )


def _bytes(value: str | int | bool) -> int | None:
    """None: the tool's own."""
    return None if value in {DEFAULT, UNKNOWN} else parse_size_bytes(str(value))


def _count(value: str | int | bool) -> int | None:
    return None if value == DEFAULT else int(value)


def _switch(value: str | int | bool) -> bool | None:
    return None if value == DEFAULT else bool(value)


# -------------------------------------------------------------------------------------------------
# Panels of drafts: what every unit measured in each cell.

MOST_CELLS = 1000
Integers = NDArray[np.int64]
# One row for each panel, cell and unit; the spread is that of the logarithms within the unit.
_COLUMNS = ("cell", "unit", "mbps", "duration_s", "n", "variance")
# Cells that are one node each can be compared by their repetitions alone.
_UNITS_OF_NODES = frozenset({"node", "run"})
_UNITS: Mapping[Unit, str] = MappingProxyType(
    {"node": "node_no", "repetition": "run_no * 1048576 + repetition"}
)
_MEASURES = """
  coalesce(median(mbps) FILTER (ok), 'nan') AS mbps,
  coalesce(median(duration_s) FILTER (ok), 'nan') AS duration_s,
  count(*) FILTER (ok) AS n,
  coalesce(var_samp(ln(mbps)) FILTER (ok), 0) AS variance
"""


@dataclass(frozen=True, slots=True)
class Selected:
    """The panels of a question, sentences on what keeps them apart, and their kinds."""

    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Values of one panel: arrays of one length, with a row for each cell and unit."""

    cell: Integers
    unit: Integers
    mbps: Floats
    duration_s: Floats
    n: Integers
    variance: Floats


def select(
    connection: Connection, places: Sequence[TargetPlace], asked: Asked, extra: Sequence[str] = ()
) -> Selected:
    """The panels of a question, in order, each followed by those of its strata.

    `extra` are conditions as SQL. Leaves the table `counted` (see `grouping.select`) behind. Raises
    `HpsError` for too many cells.
    """
    found = grouping.select(connection, asked, extra)
    made = drafts(found, asked.by, asked.strata)
    _check(made, asked.by)
    _assign(connection, made)
    nodes = _nodes_with_results(connection)
    units: list[Unit] = [
        "repetition"
        if nodes.get(number) == 1 or not _UNITS_OF_NODES.isdisjoint(asked.by)
        else "node"
        for number in range(len(made))
    ]
    measured = {**_measure(connection, units, "node"), **_measure(connection, units, "repetition")}
    names = {unit: _names(connection, units, unit) for unit in set(units)}
    panels = tuple(
        _Numbers(measured[number], unit, names[unit]).panel(
            draft, titles.title(draft, made, places), places
        )
        for number, (draft, unit) in enumerate(zip(made, units, strict=True))
    )
    return Selected(panels, titles.notes(made, places), found)


def _check(made: Sequence[Draft], by: Sequence[str]) -> None:
    most = max((len(draft.cells) for draft in made), default=0)
    if most > MOST_CELLS:
        raise HpsError(
            f"--by {','.join(by)}: makes {most:,} cells of one step, and at most {MOST_CELLS:,}"
            " can be compared",
            "leave some out with --where",
        )


def _assign(connection: Connection, made: Sequence[Draft]) -> None:
    """Make the table `assigned`: which kinds are in which cell of which panel."""
    rows = [
        (kind.number, panel, place)
        for panel, draft in enumerate(made)
        for place, cell in enumerate(draft.cells)
        for kind in cell.kinds
    ]
    grouping.fill(connection, "assigned", ("kind UBIGINT", "panel BIGINT", "cell BIGINT"), rows)


def _nodes_with_results(connection: Connection) -> dict[int, int]:
    """How many nodes of each panel have `ok` results, by the panel's number."""
    return dict(
        connection.execute(
            "SELECT panel, count(DISTINCT node_no) FROM counted JOIN assigned USING (kind)"
            " WHERE ok GROUP BY panel"
        ).fetchall()
    )


def _measure(connection: Connection, units: Sequence[Unit], unit: Unit) -> dict[int, _Measured]:
    """The values of the panels that have this unit, by the panels' numbers."""
    panels = [number for number, other in enumerate(units) if other == unit]
    if not panels:
        return {}
    found = connection.execute(
        f"SELECT panel, cell, {_UNITS[unit]} AS unit, {_MEASURES} FROM counted"
        " JOIN assigned USING (kind) WHERE list_contains(?, panel) GROUP BY 1, 2, 3",
        [panels],
    ).fetchnumpy()
    order = np.argsort(found["panel"], kind="stable")
    columns = [np.asarray(found[name])[order] for name in ("panel", *_COLUMNS)]
    ends = np.searchsorted(columns[0], panels, side="right")
    starts = np.searchsorted(columns[0], panels, side="left")
    return {
        panel: _Measured(*(column[start:end] for column in columns[1:]))
        for panel, start, end in zip(panels, starts, ends, strict=True)
    }


def _names(connection: Connection, units: Sequence[Unit], unit: Unit) -> dict[int, str]:
    """What each unit is called: a node, or `<node>/<run>/<repetition>`."""
    if unit == "node":
        return dict(connection.execute("SELECT DISTINCT node_no, machine_id FROM facts").fetchall())
    rows = connection.execute(
        "SELECT DISTINCT run_no * 1048576 + repetition,"
        " concat_ws('/', f.machine_id, f.run_id, t.repetition) FROM counted t"
        " JOIN assigned a USING (kind) JOIN facts f USING (run_no) WHERE list_contains(?, a.panel)",
        [[number for number, other in enumerate(units) if other == unit]],
    )
    return dict(rows.fetchall())


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The numbers of one panel: values, the unit of sampling, and the units' names."""

    measured: _Measured
    unit: Unit
    names: Mapping[int, str]

    def panel(self, draft: Draft, title: str, places: Sequence[TargetPlace]) -> Panel:
        units = np.unique(self.measured.unit)
        place = TargetPlace() if draft.place is None else places[draft.place]
        return Panel(
            title=title,
            shared=_shared(draft, place),
            step=draft.step,
            direction=direction_of(draft.step),
            unit=self.unit,
            units=tuple(self.names[number] for number in units.tolist()),
            cells=tuple(
                self._cell(number, cell, draft, units, places)
                for number, cell in enumerate(draft.cells)
            ),
            stratum=draft.stratum,
            provider=place.provider,
            notes=tuple(self._notes(units)),
        )

    def _cell(
        self,
        number: int,
        cell: DraftCell,
        draft: Draft,
        units: Integers,
        places: Sequence[TargetPlace],
    ) -> PanelCell:
        rows = self.measured.cell == number
        at = np.searchsorted(units, self.measured.unit[rows])
        mbps, duration_s = np.full(len(units), np.nan), np.full(len(units), np.nan)
        n = np.zeros(len(units), dtype=np.int64)
        mbps[at], duration_s[at] = self.measured.mbps[rows], self.measured.duration_s[rows]
        n[at] = self.measured.n[rows]
        typical = cell.typical
        own = draft.place if typical.place is None else typical.place
        provider = "" if own is None else places[own].provider
        requests = requests_of(draft.step, typical.values, provider)
        several = draft.place is None and typical.place is not None
        return PanelCell(
            key=cell.key,
            mbps=mbps,
            duration_s=duration_s,
            repetitions=n,
            spread=_spread(self.measured.n[rows], self.measured.variance[rows]),
            statuses=cell.statuses,
            reasons=cell.reasons,
            requests_class_a=requests.class_a,
            requests_class_b=requests.class_b,
            size_bytes=payload_bytes(typical.values),
            same_as=cell.same_as,
            effective=typical.effective or {},
            provider=provider if several else "",
        )

    def _notes(self, units: Integers) -> Iterator[str]:
        if self.unit == "repetition":
            nodes = sorted(nodes_of(self.names[number] for number in units.tolist()))
            yield (
                f"compared by repetitions, since only one node has results"
                f" ({words.listed(nodes)}): the answer holds for that node"
            )


def _shared(draft: Draft, place: TargetPlace) -> Key:
    """All that the cells of a panel have in common, with each part of where the target leads."""
    shared = {
        "step": words.step_name(draft.step, draft.step_no),
        **draft.apart,
        **asdict(place),
        "experiment_file": draft.settings[:12],
        **{f"effective_{name}": value for name, value in draft.variant.items()},
    }
    return MappingProxyType({name: value for name, value in shared.items() if value != ""})


def _spread(n: Integers, variance: Floats) -> float | None:
    """The standard deviation within units, of all units together; None: none has two values."""
    freedom = np.maximum(n - 1, 0)
    total = int(freedom.sum())
    return float(np.sqrt((freedom * variance).sum() / total)) if total else None
