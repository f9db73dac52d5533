"""The tables of a comparison as rows of text, whatever draws them: cells, pairs, changes, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hps.analyze.comparison import CellSummary, Change, Comparison, Findings, Interval, Key, Pair
from hps.analyze.gates import GatedCell, GateResult, Outcome
from hps.gates import Metric
from hps.gates import value_text as gate_value
from hps.report.numbers import (
    count_text,
    dollars_text,
    interval_text,
    number_text,
    p_text,
    value_text,
)
from hps.report.table import cell_name

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
