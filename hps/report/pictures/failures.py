"""How often operations failed, cell by cell, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hps.compare import words
from hps.compare.comparison import CellSummary, Comparison, Findings, bounds
from hps.report import tables, values
from hps.report.pictures import marks
from hps.report.pictures.picture import Drawn, Gap, Paint, Picture, Row, category, number, tip

ROW_HEIGHT = 26
MOST_ROWS = 40
_TIPS = (
    tip("cell", "cell"),
    tip("rate", "failed", ".2%"),
    tip("low", "from", ".2%"),
    tip("high", "to", ".2%"),
    tip("statuses", "results"),
)


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """A picture for each comparison in which anything failed; a line names the others."""
    comparisons = tables.main(findings)
    drawn = [picture for one in comparisons for picture in _picture(one, paint)]
    clean = [tables.name(one) for one in comparisons if counted(one) and not failed(one)]
    if clean:
        reason = f"{', '.join(clean)}: nothing failed."
        return (*drawn, Gap(name="failures", section="reliability", reason=reason))
    nothing = Gap(
        name="failures", section="reliability", reason="No failures: no operation was counted."
    )
    return drawn or (nothing,)


def counted(comparison: Comparison) -> int:
    """How many operations of all cells count for the rate of failures."""
    return sum(_counted(cell) for cell in comparison.cells)


def failed(comparison: Comparison) -> int:
    """How many of those are not `ok`."""
    own = (cell for cell in comparison.cells if cell.same_as is None)
    return counted(comparison) - sum(cell.statuses.get("ok", 0) for cell in own)


def _counted(cell: CellSummary) -> int:
    return cell.ended if cell.same_as is None else 0


def _picture(comparison: Comparison, paint: Paint) -> Iterator[Picture]:
    if not failed(comparison):
        return
    cells = [cell for cell in tables.measured(comparison) if _counted(cell)]
    bad_cells = [cell for cell in cells if cell.failure_rate]
    worst = sorted(bad_cells, key=lambda cell: -(cell.failure_rate or 0))[:MOST_ROWS]
    rows = [_row(cell) for cell in bad_cells if cell in worst]
    y = category("cell", None, [row["cell"] for row in rows])
    x = number("rate", "failed", axis={"format": "~p", "tickCount": 6}, scale={"zero": True})
    of, bad, total = tables.name(comparison), failed(comparison), counted(comparison)
    others = len(cells) - len(bad_cells)
    more = f" Nothing failed in {words.plural(others, 'other cell')}." if others else ""
    known = words.reasons(tables.reasons([comparison]))
    more += f" By reason: {known}." if known else ""
    if len(bad_cells) > MOST_ROWS:
        more += f" Shown: the worst {MOST_ROWS} of {len(bad_cells)}."
    yield Picture(
        name=tables.slug("failures", of),
        section="reliability",
        title=f"{of}: {bad:,} of {words.plural(total, 'operation')} failed",
        note=f"Share of results that are not ok, with its interval: failed, invalid, skipped or "
        f"out of time.{more}",
        finding=f"{of}: {values.percent_text(bad / total)} failed, most with "
        f"{values.phrase(worst[0].key)}: {values.percent_text(worst[0].failure_rate)}.",
        layers=[
            marks.spans(rows, {**x, "field": "low"}, "high", y, paint.red),
            marks.dots(rows, x, y, paint.red, _TIPS, size=80, opacity=1),
        ],
        height=ROW_HEIGHT * len(rows) + 20,
    )


def _row(cell: CellSummary) -> Row:
    rate = cell.failure_rate or 0.0
    low, high = bounds(cell.failure_interval, rate)
    return {
        "cell": values.short(cell.key),
        "rate": rate,
        "low": low,
        "high": high,
        "statuses": _results(cell),
    }


def _results(cell: CellSummary) -> str:
    """`110 ok, 10 failed (10 throttled (target))`."""
    counts = words.counts(cell.statuses)
    return f"{counts} ({words.reasons(cell.reasons)})" if cell.reasons else counts
