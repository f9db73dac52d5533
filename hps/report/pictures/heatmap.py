"""The median of each cell over two axes, with its spread and number of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from hps.compare import names
from hps.compare.comparison import CellSummary, Comparison, Findings, Key, bounds
from hps.compare.words import plural, value_text
from hps.report import tables, values
from hps.report.pictures import marks
from hps.report.pictures.picture import (
    Channel,
    Drawn,
    Gap,
    Layer,
    Paint,
    Picture,
    Row,
    category,
    number,
    tip,
)

# -------------------------------------------------------------------------------------------------
# The median of each cell with its interval, a line for each: where there is but one axis.

_DOT_HEIGHT = 30
MOST_ROWS = 40
_AXIS = "Throughput Mbps"
_DOT_TIPS = (
    tip("cell", "cell"),
    tip("mbps", "median Mbps", ",.1f"),
    tip("low", "from", ",.1f"),
    tip("high", "to", ",.1f"),
    tip("units", "n"),
)


def draw_dots(comparison: Comparison, cells: Sequence[CellSummary], paint: Paint) -> Picture:
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
            marks.dots(
                rows, number("mbps", scale={"zero": True}), y, paint.blue, _DOT_TIPS, size=90
            ),
        ],
        height=_DOT_HEIGHT * len(rows) + 10,
    )


def _row(cell: CellSummary) -> dict[str, object]:
    low, high = bounds(cell.interval, cell.median_mbps)
    return {
        "cell": values.short(cell.key),
        "mbps": cell.median_mbps,
        "low": low,
        "high": high,
        "units": cell.units,
    }


def _names(cells: Sequence[CellSummary]) -> str:
    return " and ".join(names.word(name) for name in cells[0].key) or "cell"


# -------------------------------------------------------------------------------------------------
# The settings of a panel by two axes, a heat map for each step.

ROW_HEIGHT = 64
COLUMN_WIDTH = 60
MOST_PICTURES = 12
# Where on the scale of colours black becomes easier to read than white.
_LIGHT = 0.62
# Black within white: seen on every colour, whatever surrounds it.
_FRAME: Row = {"type": "rect", "filled": False, "strokeJoin": "round"}
_TIPS = (
    tip("row", "row"),
    tip("column", "column"),
    tip("mbps", "median Mbps", ",.1f"),
    tip("spread", "10th to 90th percentile"),
    tip("units", "n"),
    tip("same", "measured as"),
)


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """A heat map of each comparison; a dot plot where its cells differ in fewer than two names."""
    drawn = [
        picture
        for comparison in tables.main(findings)
        for picture in _of_comparison(comparison, findings.by, paint)
    ]
    if not drawn:
        return (Gap(name="heatmap", section="settings", reason="No heat map: no cell has a rate."),)
    if len(drawn) <= MOST_PICTURES:
        return drawn
    more = f"{len(drawn) - MOST_PICTURES} more heat maps are left out: choose with --where."
    return (*drawn[:MOST_PICTURES], Gap(name="heatmap", section="settings", reason=more))


def _of_comparison(comparison: Comparison, by: Sequence[str], paint: Paint) -> Iterator[Picture]:
    cells = [cell for cell in tables.measured(comparison) if cell.median_mbps is not None]
    differ = values.varying(by, [cell.key for cell in cells])
    if cells and len(differ) < 2:
        yield draw_dots(comparison, cells, paint)
    if len(differ) < 2:
        return
    both = {"chunk_size", "concurrency"} <= set(differ)
    down, across = ("chunk_size", "concurrency") if both else (differ[0], differ[1])
    cells.sort(key=lambda cell: values.rank(values.without(cell.key, across, down)))
    for rest, group in groupby(cells, lambda cell: values.without(cell.key, across, down)):
        named = values.phrase({name: rest[name] for name in rest if name in differ}) if rest else ""
        yield _map(comparison, list(group), (down, across), named)


def _map(
    comparison: Comparison,
    cells: Sequence[CellSummary],
    axes: tuple[str, str],
    rest: str,
) -> Picture:
    down, across = axes
    of = ", ".join(part for part in (tables.name(comparison), rest) if part)
    rows, columns = (_texts(axis, cells) for axis in axes)
    top = max(cells, key=lambda cell: cell.median_mbps or 0)
    return Picture(
        name=tables.slug("heatmap", of),
        section="settings",
        title=f"{of}: throughput by {names.word(down)} and {names.word(across)}",
        note=f"Median of {plural(comparison.units, comparison.unit)}, Mbps; below it: 10th "
        "to 90th percentile, and how many measured it. Framed: the cell to use, or the fastest.",
        finding=f"{of}: the highest median is {top.median_mbps:,.0f} Mbps, "
        f"with {values.phrase(top.key)}.",
        layers=_layers(
            list(_rows(cells, axes, tables.best(comparison))),
            category("row", names.word(down), rows),
            category("column", names.word(across), columns, axis={"labelAngle": 0}),
        ),
        height=ROW_HEIGHT * len(rows),
        least_width=COLUMN_WIDTH * len(columns) + 80,
    )


def _texts(axis: str, cells: Sequence[CellSummary]) -> list[str]:
    return [value_text(value) for value in values.ordered(axis, (cell.key[axis] for cell in cells))]


def _rows(cells: Sequence[CellSummary], axes: tuple[str, str], chosen: Key | None) -> Iterator[Row]:
    most = max(cell.median_mbps or 0.0 for cell in cells) or 1.0
    for cell in cells:
        mbps = cell.median_mbps or 0.0
        yield {
            "row": value_text(cell.key[axes[0]]),
            "column": value_text(cell.key[axes[1]]),
            "mbps": round(mbps, 2),
            "label": f"{mbps:,.0f}" if mbps >= 10 else f"{mbps:.2g}",
            "spread": spread(cell),
            "units": cell.units,
            "below": f"n {cell.units:,}" + (" *" if cell.same_as else ""),
            "same": values.phrase(cell.same_as) if cell.same_as else "itself",
            "ink": "#000000" if mbps / most > _LIGHT else "#ffffff",
            "chosen": cell.key == chosen,
        }


def spread(cell: CellSummary) -> str:
    """`180-310`: from the 10th to the 90th percentile."""
    if cell.p10_mbps is None or cell.p90_mbps is None:
        return ""
    return f"{cell.p10_mbps:,.0f}-{cell.p90_mbps:,.0f}"


def _layers(rows: Sequence[Row], y: Channel, x: Channel) -> list[Layer]:
    """Squares, the frame of the chosen one, and three lines of text in each square."""
    colour = number("mbps", "Mbps", scale={"scheme": "viridis", "domainMin": 0}, legend=None)
    place = {"x": x, "y": y}
    squares = Layer(
        rows=rows,
        mark={"type": "rect"},
        channels={**place, "fill": colour, "tooltip": list(_TIPS)},
    )
    chosen = [row for row in rows if row["chosen"]]
    frames = [
        Layer(rows=chosen, mark={**_FRAME, "stroke": stroke, "strokeWidth": width}, channels=place)
        for stroke, width in (("#ffffff", 7), ("#000000", 3))
    ]
    lines = (("label", -13, 16, "bold"), ("spread", 5, 11, "normal"), ("below", 20, 11, "normal"))
    ink: Channel = {"field": "ink", "type": "nominal", "scale": None}
    texts = [
        marks.labels(rows, x, y, field, ink, dy=dy, fontSize=size, fontWeight=weight)
        for field, dy, size, weight in lines
    ]
    return [squares, *frames, *texts]
