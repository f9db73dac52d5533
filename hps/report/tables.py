"""The tables of a comparison as rows of text, whatever draws them: cells, pairs, changes, gates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hps.compare.comparison import (
    CellSummary,
    Change,
    Comparison,
    Findings,
    Interval,
    Key,
    Pair,
    PairVerdict,
    Reason,
    summed,
)
from hps.compare.gates import GatedCell, GateResult, Outcome
from hps.report import values
from hps.report.table import cell_name
from hps.report.values import (
    count_text,
    dollars_text,
    interval_text,
    number_text,
    p_text,
    value_text,
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
_OPPOSITE: Mapping[str, str] = {"faster": "slower", "slower": "faster"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text below a title. The first `left` columns read from the left, others are numbers.

    `more` rows are left out; `notes` say what the rows can't.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    more: int = 0
    notes: tuple[str, ...] = ()


def heading(of: Comparison | Change | GatedCell) -> str:
    """What a comparison is called: its title, and its stratum where the title has it not."""
    title, stratum = of.title, of.stratum
    return title if not stratum or stratum in title else f"{title}, {stratum}"


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
        left=len(by),
        more=max(0, len(comparison.cells) - MOST_ROWS),
        notes=tuple(
            f"= {cell_name(cell.key)}: measured as {cell_name(cell.same_as or {})}"
            for cell in merged[:MOST_ROWS]
        ),
    )


def pairs(comparison: Comparison) -> Table | None:
    """Each cell against the best one, or the baseline; every pair where there is no such cell."""
    reference = _reference(comparison)
    against = [_facing(pair, reference) for pair in comparison.pairs]
    known = [pair for pair in against if pair is not None] if reference is not None else []
    shown = known or list(comparison.pairs)
    if not shown:
        return None
    by = tuple(shown[0].a)
    named = known and reference is not None
    against_text = f"against {cell_name(reference or {})}" if named else "pair by pair"
    columns = (*by, *(() if named else ("against",)), "ratio [low, high]", "test", "p adjusted")
    return Table(
        title=f"{heading(comparison)}: {against_text}",
        columns=(*columns, "verdict"),
        rows=tuple(_pair_row(pair, by, named=bool(named)) for pair in shown[:MOST_ROWS]),
        left=len(by) if named else len(by) + 1,
        more=max(0, len(shown) - MOST_ROWS),
    )


def changes(findings: Findings) -> tuple[Table, ...]:
    """A table per comparison of what changed since the baseline."""
    groups: dict[str, list[Change]] = {}
    for change in findings.changes:
        groups.setdefault(heading(change), []).append(change)
    return tuple(_change_table(title, group, findings.by) for title, group in groups.items())


def gates(results: Sequence[GateResult]) -> Table:
    """A row per gate: what came of it, in how many cells, and the one that is the worst."""
    return Table(
        title="Gates",
        columns=("outcome", "gate", "asked by", "where", "worst"),
        rows=tuple(_gate_row(result) for result in results),
        left=5,
    )


def _gate_row(result: GateResult) -> tuple[str, ...]:
    return (
        OUTCOMES[result.outcome],
        result.gate,
        result.source,
        result.reason,
        worst(result),
    )


def worst(result: GateResult) -> str:
    """The cell that is the worst in a gate's eyes, with its value; empty where there is none."""
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
        left=len(names),
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
        f"{_not_ok(cell):,}",
        number_text(cell.p10_mbps),
        _spaced(number_text(cell.median_mbps), interval_text(cell.interval)),
        number_text(cell.p90_mbps),
        number_text(cell.first_done_s),
        number_text(cell.last_done_s),
        dollars_text(cell.dollars_per_gb).removeprefix("$"),
        count_text(cell.requests_per_gb),
    )


def _not_ok(cell: CellSummary) -> int:
    return sum(count for status, count in cell.statuses.items() if status != "ok")


def _pair_row(pair: Pair, by: Sequence[str], *, named: bool) -> tuple[str, ...]:
    return (
        *(value_text(pair.a.get(name)) for name in by),
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
    if comparison.decision.cell is not None:
        return comparison.decision.cell
    rates = [(cell.median_mbps, cell.key) for cell in comparison.cells if cell.median_mbps]
    return max(rates, key=lambda rate: rate[0], default=(0.0, None))[1]


def _facing(pair: Pair, reference: Key | None) -> Pair | None:
    """The pair with the reference as its second cell; None where it is not part of it."""
    if pair.b == reference:
        return pair
    return _turned(pair) if pair.a == reference else None


def _turned(pair: Pair) -> Pair:
    interval = pair.interval
    return Pair(
        a=pair.b,
        b=pair.a,
        units=pair.units,
        ratio=1 / pair.ratio if pair.ratio else None,
        interval=_inverse(interval) if interval is not None else None,
        test=pair.test,
        p=pair.p,
        p_adjusted=pair.p_adjusted,
        verdict=_OPPOSITE.get(pair.verdict, pair.verdict),  # type: ignore[arg-type]
        reason=pair.reason,
        needed=pair.needed,
        comparable=pair.comparable,
    )


def _inverse(interval: Interval) -> Interval | None:
    if not interval.low or not interval.high:
        return None
    return Interval(low=1 / interval.high, high=1 / interval.low, level=interval.level)


# -------------------------------------------------------------------------------------------------
# What the pictures and the page ask of comparisons: which, in what order, called what.

_WORDS = re.compile(r"[^a-z0-9]+")


def main(findings: Findings) -> list[Comparison]:
    """The comparisons over all nodes; where there are none, those by class of nodes."""
    overall = [comparison for comparison in findings.comparisons if not comparison.stratum]
    return overall or list(findings.comparisons)


def name(comparison: Comparison) -> str:
    """What tells it from the others, the class of nodes too."""
    return full_name(comparison.title, comparison.stratum)


def full_name(title: str, stratum: str) -> str:
    """A title, with a capital, and with the class of nodes where it does not say so itself."""
    apart = stratum and stratum.casefold() not in title.casefold()
    return title[:1].upper() + title[1:] + (f", {stratum}" if apart else "")


def same_kind(one: Comparison, other: Comparison) -> bool:
    """True where they differ in the class of nodes alone."""
    return (one.step, dict(one.shared)) == (other.step, dict(other.shared))


def measured(comparison: Comparison) -> list[CellSummary]:
    """All cells in order; one that another was measured in place of has that one's numbers."""
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
    """The decision's cell; where it names none, that with the highest median."""
    if comparison.decision.cell is not None:
        return comparison.decision.cell
    rates = [(cell.median_mbps, cell.key) for cell in comparison.cells if cell.same_as is None]
    known = [(rate, key) for rate, key in rates if rate is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def cell(comparison: Comparison, key: Key | None) -> CellSummary | None:
    """The numbers of a cell."""
    return next((one for one in measured(comparison) if one.key == key), None)


def against(comparison: Comparison, key: Key) -> list[Pair]:
    """The pairs that this cell is in, each with it as `a`."""
    turned = (_turned_pair(pair) if pair.b == key else pair for pair in comparison.pairs)
    return [pair for pair in turned if pair.a == key]


def slug(*parts: str) -> str:
    """A name fit for a file: small letters, digits and hyphens."""
    return _WORDS.sub("-", " ".join(parts).lower()).strip("-")[:80]


def distinct(names: Sequence[str]) -> list[str]:
    """The names, a number behind each that came before."""
    seen: dict[str, int] = {}
    result = []
    for one in names:
        seen[one] = seen.get(one, 0) + 1
        result.append(one if seen[one] == 1 else f"{one}-{seen[one]}")
    return result


def _turned_pair(pair: Pair) -> Pair:
    verdicts: dict[PairVerdict, PairVerdict] = {"faster": "slower", "slower": "faster"}
    span = pair.interval
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        ratio=None if pair.ratio is None else 1 / pair.ratio,
        interval=None if span is None else replace(span, low=1 / span.high, high=1 / span.low),
        verdict=verdicts.get(pair.verdict, pair.verdict),
    )
