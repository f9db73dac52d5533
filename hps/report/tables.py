"""The tables of a comparison as rows of text, whatever draws them: cells, pairs, changes, gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from hps.compare.comparison import (
    CellSummary,
    Change,
    Comparison,
    Findings,
    Key,
    Pair,
    Reason,
    summed,
)
from hps.compare.gates import GatedCell, GateResult, Outcome
from hps.compare.words import value_text
from hps.report import values
from hps.report.table import cell_name
from hps.report.values import (
    capital,
    count_text,
    dollars_text,
    interval_text,
    number_text,
    p_text,
)
from hps.spec.gates import Metric
from hps.spec.gates import value_text as gate_value

MOST_ROWS = 40
OUTCOMES: Mapping[Outcome, str] = {
    "pass": "PASS",
    "fail": "FAIL",
    "no data": "NO DATA",
    "inconclusive": "INCONCLUSIVE",
}
LEGEND = (
    "p10, p50, p90: Mbps, over the medians of the nodes; [low, high]: the interval of p50; "
    "first, last: seconds until the first and the last node is done; $/GB, req/GB: list price and "
    "requests for each GB (10^9 bytes) of payload; =: measured as another cell, since it is the "
    "same on the wire."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text below a title. The first `text_columns` are text, the others are numbers.

    `more` rows are not shown; `notes` are lines below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int
    more: int = 0
    notes: tuple[str, ...] = ()

    def drawn(self, style: str, shown: Callable[[str], str]) -> list[str]:
        """The table in one of tabulate's formats, each text as `shown`; then how many rows lack."""
        numbers = len(self.columns) - self.text_columns
        drawn = tabulate(
            [[shown(value) for value in row] for row in self.rows],
            headers=[shown(name) for name in self.columns],
            tablefmt=style,
            disable_numparse=True,
            colalign=["left"] * self.text_columns + ["right"] * numbers,
        )
        return [drawn, *([f"… and {self.more:,} more"] if self.more else [])]


def heading(of: Comparison | Change | GatedCell) -> str:
    """A comparison's title, and its stratum where the title does not name it."""
    title, stratum = of.title, of.stratum
    apart = stratum and stratum.casefold() not in title.casefold()
    return f"{title}, {stratum}" if apart else title


def name(of: Comparison | Change) -> str:
    """The heading with a capital, as the page and the pictures have it."""
    return capital(heading(of))


def cells(comparison: Comparison, by: Sequence[str]) -> Table:
    """A row per cell: how many, how fast with its interval, first and last done, what it costs."""
    unit = "nodes" if comparison.unit == "node" else "trials"
    numbers = ("ok", "not ok", "p10", "p50 [low, high]", "p90")
    ends = ("first", "last", "$/GB", "req/GB")
    merged = [cell for cell in comparison.cells if cell.same_as is not None]
    return Table(
        title=heading(comparison),
        columns=(*by, unit, *numbers, *ends),
        rows=tuple(_cell_row(cell, by) for cell in comparison.cells[:MOST_ROWS]),
        text_columns=len(by),
        more=max(0, len(comparison.cells) - MOST_ROWS),
        notes=tuple(
            f"= {cell_name(cell.key)}: measured as {cell_name(cell.same_as or {})}"
            for cell in merged[:MOST_ROWS]
        ),
    )


def pairs(comparison: Comparison) -> Table | None:
    """Each cell against the one that all are compared with; without any, every pair.

    None where there are no pairs.
    """
    reference = _reference(comparison)
    known = [
        pair if pair.b == reference else pair.turned()
        for pair in comparison.pairs
        if reference in (pair.a, pair.b)
    ]
    shown = known or list(comparison.pairs)
    if not shown:
        return None
    named = bool(known)
    by = (*shown[0].a, *(() if named else ("against",)))
    against_text = f"against {cell_name(reference or {})}" if named else "pair by pair"
    return Table(
        title=f"{heading(comparison)}: {against_text}",
        columns=(*by, "ratio [low, high]", "test", "p adjusted", "verdict"),
        rows=tuple(_pair_row(pair, named=named) for pair in shown[:MOST_ROWS]),
        text_columns=len(by),
        more=max(0, len(shown) - MOST_ROWS),
    )


def changes(findings: Findings) -> tuple[Table, ...]:
    """A table for each comparison of how its cells changed since the baseline."""
    groups: dict[str, list[Change]] = {}
    for change in findings.changes:
        groups.setdefault(heading(change), []).append(change)
    return tuple(_change_table(title, group, findings.by) for title, group in groups.items())


def gates(results: Sequence[GateResult]) -> Table:
    """A row for each gate: what came of it, who asked for it, in how many cells, and the worst."""
    return Table(
        title="Gates",
        columns=("outcome", "gate", "asked by", "where", "worst"),
        rows=tuple(
            (OUTCOMES[one.outcome], one.gate, one.source, one.reason, worst(one)) for one in results
        ),
        text_columns=5,
    )


def worst(result: GateResult) -> str:
    """The cell that does worst by the gate, with its value; empty where it is about none."""
    return _place(result.metric, result.where[0]) if result.where else ""


def _place(metric: Metric | None, place: GatedCell) -> str:
    value = place.reason or "unknown"
    if place.value is not None and metric is not None:
        value = gate_value(metric, place.value) + (f" ({place.reason})" if place.reason else "")
    return f"{heading(place)}, {cell_name(place.key)}: {value}"


def _change_table(title: str, group: Sequence[Change], by: Sequence[str]) -> Table:
    names = [name for name in by if any(name in change.key for change in group)]
    reasons = (change.reason for change in group if change.ratio is not None and change.reason)
    notes = dict.fromkeys((*reasons, *(note for change in group for note in change.notes)))
    return Table(
        title=f"{title}: now against the baseline",
        columns=(*names, "n", "now / baseline", "p adjusted", "verdict"),
        rows=tuple(_change_row(change, names) for change in group[:MOST_ROWS]),
        text_columns=len(names),
        more=max(0, len(group) - MOST_ROWS),
        notes=tuple(notes),
    )


def _cell_row(cell: CellSummary, by: Sequence[str]) -> tuple[str, ...]:
    key = tuple(value_text(cell.key.get(name)) for name in by)
    if cell.same_as is not None:
        return (*key, "=", *("",) * 9)
    return (
        *key,
        f"{cell.units:,}",
        f"{cell.ok:,}",
        f"{sum(cell.not_ok.values()):,}",
        number_text(cell.p10_mbps),
        _spaced(number_text(cell.median_mbps), interval_text(cell.interval)),
        number_text(cell.p90_mbps),
        number_text(cell.first_done_s),
        number_text(cell.last_done_s),
        dollars_text(cell.dollars_per_gb).removeprefix("$"),
        count_text(cell.requests_per_gb),
    )


def _pair_row(pair: Pair, *, named: bool) -> tuple[str, ...]:
    return (
        *(value_text(value) for value in pair.a.values()),
        *(() if named else (cell_name(pair.b),)),
        _spaced(number_text(pair.ratio), interval_text(pair.interval)),
        pair.test,
        p_text(pair.p_adjusted),
        pair.verdict if pair.comparable else "can't be told",
    )


def _change_row(change: Change, by: Sequence[str]) -> tuple[str, ...]:
    return (
        *(value_text(change.key.get(name)) for name in by),
        f"{change.n:,}",
        _spaced(number_text(change.ratio), interval_text(change.interval)),
        p_text(change.p_adjusted),
        change.verdict if change.ratio is not None else change.reason or "no counterpart",
    )


def _spaced(value: str, interval: str) -> str:
    return f"{value} {interval}".strip()


def _reference(comparison: Comparison) -> Key | None:
    """The cell that all pairs have in common, else the answer, else the fastest cell."""
    given = comparison.pairs
    if given and all(pair.b == given[0].b for pair in given):
        return given[0].b
    if given and all(pair.a == given[0].a for pair in given):
        return given[0].a
    return best(comparison)


# -------------------------------------------------------------------------------------------------
# What the pictures and the page ask of comparisons: which, in what order, called what.

_WORDS = re.compile(r"[^a-z0-9]+")


def main(findings: Findings) -> list[Comparison]:
    """The comparisons over all nodes; without any, those by class of nodes."""
    overall = [comparison for comparison in findings.comparisons if not comparison.stratum]
    return overall or list(findings.comparisons)


def same_kind(one: Comparison, other: Comparison) -> bool:
    """True where two comparisons differ in the class of nodes alone."""
    return (one.step, dict(one.shared)) == (other.step, dict(other.shared))


def measured(comparison: Comparison) -> list[CellSummary]:
    """All cells in the order of their values.

    A cell whose results are those of another has that one's numbers.
    """
    own = {values.phrase(cell.key): cell for cell in comparison.cells}
    cells = []
    for cell in comparison.cells:
        stands_for = own.get(values.phrase(cell.same_as)) if cell.same_as is not None else None
        cells.append(
            cell if stands_for is None else replace(stands_for, key=cell.key, same_as=cell.same_as)
        )
    return sorted(cells, key=lambda cell: values.rank(cell.key))


def reasons(comparisons: Iterable[Comparison]) -> tuple[Reason, ...]:
    """Why operations were not ok, of all cells together, the most frequent reason first."""
    cells = (cell for comparison in comparisons for cell in comparison.cells)
    return summed(one for cell in cells if cell.same_as is None for one in cell.reasons)


def best(comparison: Comparison) -> Key | None:
    """The decision's cell; else the one with the highest median; None where there is no median."""
    if comparison.decision.cell is not None:
        return comparison.decision.cell
    own = (cell for cell in comparison.cells if cell.same_as is None)
    rates = [(cell.median_mbps, cell.key) for cell in own if cell.median_mbps is not None]
    return max(rates, key=lambda rate: rate[0], default=(0.0, None))[1]


def cell(comparison: Comparison, key: Key | None) -> CellSummary | None:
    """The cell with this key, as `measured` has it."""
    return next((one for one in measured(comparison) if one.key == key), None)


def against(comparison: Comparison, key: Key) -> list[Pair]:
    """The pairs that this cell is in, each turned so that the cell is its `a`."""
    turned = (pair.turned() if pair.b == key else pair for pair in comparison.pairs)
    return [pair for pair in turned if pair.a == key]


def slug(*parts: str) -> str:
    """A name fit for a file: small letters, digits and hyphens."""
    return _WORDS.sub("-", " ".join(parts).lower()).strip("-")[:80]


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number behind each that was there before: `rtt`, `rtt-2`."""
    seen: dict[str, int] = {}
    result = []
    for one in names:
        seen[one] = seen.get(one, 0) + 1
        result.append(one if seen[one] == 1 else f"{one}-{seen[one]}")
    return result
