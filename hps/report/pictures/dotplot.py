"""The median of each cell with its interval, a line for each: where there is but one axis."""

from __future__ import annotations

from collections.abc import Sequence

from hps.compare import names
from hps.compare.comparison import CellSummary, Comparison
from hps.compare.words import plural
from hps.report import tables, values
from hps.report.pictures import marks
from hps.report.pictures.paint import Paint
from hps.report.pictures.picture import Picture, category, number, tip

ROW_HEIGHT = 30
MOST_ROWS = 40
_AXIS = "Throughput Mbps"
_TIPS = (
    tip("cell", "cell"),
    tip("mbps", "median Mbps", ",.1f"),
    tip("low", "from", ",.1f"),
    tip("high", "to", ",.1f"),
    tip("units", "n"),
)


def draw(comparison: Comparison, cells: Sequence[CellSummary], paint: Paint) -> Picture:
    """A picture of cells that all have a median; of the fastest forty where there are more."""
    fastest = sorted(cells, key=lambda cell: -(cell.median_mbps or 0))[:MOST_ROWS]
    shown = [cell for cell in cells if cell in fastest]
    rows = [_row(cell) for cell in shown]
    y = category("cell", None, [row["cell"] for row in rows])
    title = f"{tables.name(comparison)}: throughput by {_names(cells)}"
    top = fastest[0]
    return Picture(
        name=tables.slug("cells", tables.name(comparison)),
        section="settings",
        title=title,
        note=f"Median of {plural(comparison.units, comparison.unit)} and its interval.",
        finding=f"{title}. The highest median is {top.median_mbps:,.0f} Mbps, "
        f"with {values.phrase(top.key)}.",
        layers=[
            marks.spans(rows, number("low", _AXIS), "high", y, paint.blue),
            marks.dots(rows, number("mbps", scale={"zero": True}), y, paint.blue, _TIPS, size=90),
        ],
        height=ROW_HEIGHT * len(rows) + 10,
    )


def _row(cell: CellSummary) -> dict[str, object]:
    span = cell.interval
    return {
        "cell": values.short(cell.key),
        "mbps": cell.median_mbps,
        "low": cell.median_mbps if span is None else span.low,
        "high": cell.median_mbps if span is None else span.high,
        "units": cell.units,
    }


def _names(cells: Sequence[CellSummary]) -> str:
    return " and ".join(names.word(name) for name in cells[0].key) or "cell"
