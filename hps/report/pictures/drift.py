"""Throughput over the hours of a day and over the course of a run: what drifts by itself."""

from __future__ import annotations

from collections.abc import Sequence

from hps.compare.comparison import Findings, TimePoint
from hps.report import values
from hps.report.pictures import marks
from hps.report.pictures.picture import (
    Channel,
    Drawn,
    Gap,
    Paint,
    Picture,
    colours,
    number,
    of_steps,
    tip,
)

_RATIO = "rate over the node's own mean"


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """Two pictures: by hour of the day, and by tenth of the run."""
    return (hours(findings.hours, paint), tenths(findings.tenths, paint))


def hours(points: Sequence[TimePoint], paint: Paint) -> Drawn:
    """Throughput by hour of the day (UTC), where at least two hours have results."""
    if len({point.at for point in points}) < 2:
        few = "No times of day: the results come from fewer than two hours of the day."
        return Gap(name="hours", section="time", reason=few)
    axis = {"values": list(range(0, 25, 3)), "format": "02d", "grid": False}
    x = number("at", "hour of the day, UTC", scale={"domain": [0, 23]}, axis=axis)
    title = "Throughput by time of day"
    return _picture("hours", title, points, x, paint, "hour {} UTC")


def tenths(points: Sequence[TimePoint], paint: Paint) -> Drawn:
    """Throughput by tenth of the run, where at least two have results."""
    if len({point.at for point in points}) < 2:
        few = "No course of a run: the runs are too short to be cut into tenths."
        return Gap(name="drift", section="time", reason=few)
    axis = {"values": list(range(0, 10)), "labelExpr": "datum.value * 10 + ' %'", "grid": False}
    x = number("at", "how far into the run", scale={"domain": [0, 9]}, axis=axis)
    title = "Throughput over the course of a run"
    return _picture("drift", title, points, x, paint, "tenth {}")


def _picture(
    name: str, title: str, points: Sequence[TimePoint], x: Channel, paint: Paint, where: str
) -> Picture:
    steps = list(dict.fromkeys(point.step for point in points))
    rows = [_row(point) for point in sorted(points, key=lambda point: point.at)]
    colour = colours("step", steps, of_steps(steps, paint))
    y = number("ratio", _RATIO, scale={"zero": False}, axis={"format": ".0%"})
    tips = [
        tip("step", "step"),
        tip("at", "slot"),
        tip("ratio", "median", ".1%"),
        tip("low", "a quarter below", ".1%"),
        tip("high", "a quarter above", ".1%"),
        tip("n", "results", ","),
    ]
    span = _span(points, where)
    return Picture(
        name=name,
        section="time",
        title=title,
        note=f"Each result over the median of its own node and cell. Line: the median, {span}; "
        "band: the middle half.",
        finding=f"{title}: the median is {span} of a node's own.",
        layers=[
            marks.rule("y", [1.0], y, paint.muted, dashed=True),
            marks.band(rows, x, {**y, "field": "low"}, "high", colour),
            marks.line(rows, x, y, colour),
            marks.dots(rows, x, y, colour, tips, size=50),
        ],
        height=260,
    )


def _span(points: Sequence[TimePoint], where: str) -> str:
    """`from 87 % (upload, hour 3) to 110 % (download, hour 22)`; else what all of them have."""
    low, high = (pick(points, key=lambda point: point.median_ratio) for pick in (min, max))
    texts = [values.percent_text(point.median_ratio) for point in (low, high)]
    if texts[0] == texts[1]:
        return f"{texts[0]} throughout"
    places = [f"({point.step}, {where.format(point.at)})" for point in (low, high)]
    return f"from {texts[0]} {places[0]} to {texts[1]} {places[1]}"


def _row(point: TimePoint) -> dict[str, object]:
    return {
        "step": point.step,
        "at": point.at,
        "ratio": round(point.median_ratio, 4),
        "low": round(point.low_ratio, 4),
        "high": round(point.high_ratio, 4),
        "n": point.n,
    }
