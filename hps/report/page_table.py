"""The table of the page as values: a row for each cell of each comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hps.analyze import names
from hps.analyze.comparison import CellSummary, Comparison, Findings, Key, Pair
from hps.report import keys, panels
from hps.report.numbers import dollars_text, number_text, percent_text, value_text

MOST_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field: its text, and what it is sorted by (None: nothing is known, so it comes last)."""

    text: str
    rank: float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`number`: set to the right, with digits below one another."""

    title: str
    number: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """All rows; `more` are those left out for want of room."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    more: int


_NUMBERS = (
    "median",
    "from",
    "to",
    "p10",
    "p90",
    "n",
    "failed",
    "first done",
    "last done",
    "requests/GB",
    "$/GB",
)


def table(findings: Findings) -> PageTable:
    """Every cell, in the order of the comparisons; of each what it reached, took and cost."""
    by = findings.by
    total = sum(len(comparison.cells) for comparison in findings.comparisons)
    rows = _rows(findings.comparisons, by)
    return PageTable(
        columns=(
            Column(title="comparison", number=False),
            Column(title="nodes", number=False),
            *(Column(title=names.word(name), number=False) for name in by),
            Column(title="verdict", number=False),
            Column(title="ratio", number=True),
            *(Column(title=title, number=True) for title in _NUMBERS),
        ),
        rows=tuple(row for _, row in zip(range(MOST_ROWS), rows, strict=False)),
        more=max(0, total - MOST_ROWS),
    )


def _rows(comparisons: Sequence[Comparison], by: Sequence[str]) -> Iterator[tuple[Entry, ...]]:
    for comparison in comparisons:
        chosen = panels.best(comparison)
        pairs = [] if chosen is None else panels.against(comparison, chosen)
        facing = {keys.phrase(pair.b): pair for pair in pairs}
        for cell in panels.measured(comparison):
            pair = facing.get(keys.phrase(cell.key))
            yield (
                _text(panels.full_name(comparison.title, "")),
                _text(comparison.stratum or "all"),
                *(_key(cell, name) for name in by),
                _text(_verdict(cell, pair, _word(comparison, cell, chosen))),
                _number(1 / pair.ratio if pair is not None and pair.ratio else None),
                *_numbers(cell),
            )


def _numbers(cell: CellSummary) -> Iterator[Entry]:
    span = cell.interval
    yield _number(cell.median_mbps)
    yield _number(None if span is None else span.low)
    yield _number(None if span is None else span.high)
    yield _number(cell.p10_mbps)
    yield _number(cell.p90_mbps)
    yield Entry(text=f"{cell.units:,}", rank=cell.units)
    yield Entry(text=percent_text(cell.failure_rate), rank=cell.failure_rate)
    yield _number(cell.first_done_s)
    yield _number(cell.last_done_s)
    yield _number(cell.requests_per_gb)
    yield Entry(text=dollars_text(cell.dollars_per_gb), rank=cell.dollars_per_gb)


def _word(comparison: Comparison, cell: CellSummary, chosen: Key | None) -> str:
    """What the cell is called that all others are compared with; empty for the others."""
    if cell.key != chosen:
        return ""
    return "chosen" if comparison.decision.cell is not None else "highest median"


def _verdict(cell: CellSummary, pair: Pair | None, chosen: str) -> str:
    """Of this cell against the chosen one, the other way round than the pair says it."""
    if cell.same_as is not None:
        return f"measured as {keys.phrase(cell.same_as)}"
    if chosen or pair is None:
        return chosen
    turned = {"faster": "slower", "slower": "faster"}
    return turned.get(pair.verdict, pair.verdict)


def _key(cell: CellSummary, name: str) -> Entry:
    value = cell.key.get(name)
    if value is None:
        return Entry(text="", rank=None)
    number, word = names.sort_key(name, value)
    return Entry(text=value_text(value), rank=word or number)


def _text(text: str) -> Entry:
    return Entry(text=text, rank=text or None)


def _number(value: float | None) -> Entry:
    return Entry(text=number_text(value), rank=value)
