"""Ratios with their intervals, a line for each, about 1 and the least that matters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hps.compare.comparison import Change, Pair, PairVerdict, Rule, bounds
from hps.report.pictures import marks
from hps.report.pictures.picture import Channel, Layer, Paint, Row, category, colours, number, tip
from hps.report.values import p_text, percent_text

VERDICTS: tuple[PairVerdict, ...] = ("faster", "alike", "slower", "inconclusive")
# How much of the width two ticks are apart at least, for their labels to have room.
_APART = 0.09
_SHAPES = ("circle", "square", "diamond", "cross")
_ROW_HEIGHT = 26
_TICKS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95),
    *(1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)


def layers(
    rows: Sequence[Row], name: str, axis: str, rule: Rule, tips: Sequence[Channel], paint: Paint
) -> list[Layer]:
    """A line for each row: an interval with a dot, about 1 and the least that matters.

    Rows have `ratio`, `low`, `high`, `verdict`, and the field `name` that tells them apart. The
    verdict is both a colour and a shape, for those who don't see the one.
    """
    shown = (paint.blue, paint.green, paint.red, paint.muted)
    colour = colours("verdict", VERDICTS, shown)
    shape = colours("verdict", VERDICTS, _SHAPES)
    y = category(name, None, [row[name] for row in rows])
    low, high = _span(rows, rule)
    ticks = _ticks(low, high)
    scale = {"type": "log", "domain": [low, high], "nice": False}
    x = number("ratio", axis, scale=scale, axis={"values": ticks, "format": "~g"})
    dots = marks.dots(rows, x, y, colour, tips, size=80, opacity=1)
    bounds = [1 / (1 + rule.min_effect), 1 + rule.min_effect]
    return [
        marks.rule("x", bounds, x, paint.muted, dashed=True),
        marks.rule("x", [1.0], x, paint.ink, dashed=False),
        marks.spans(rows, {**x, "field": "low"}, "high", y, colour),
        Layer(rows=dots.rows, mark=dots.mark, channels={**dots.channels, "shape": shape}),
    ]


def _span(rows: Sequence[Row], rule: Rule) -> tuple[float, float]:
    """The ends of the axis: all intervals and the least that matters fit between them."""
    limits = [float(str(row[side])) for row in rows for side in ("low", "high")]
    least = 1 + rule.min_effect
    return min([*limits, 1 / least]) / 1.03, max([*limits, least]) * 1.03


def _ticks(low: float, high: float) -> list[float]:
    """1 in any case, and those other round numbers that there is room for."""
    apart = _APART * math.log(high / low)
    chosen = [1.0]
    for tick in _TICKS:
        if low <= tick <= high and all(abs(math.log(tick / one)) >= apart for one in chosen):
            chosen.append(tick)
    return sorted(chosen)


def tips(ratio: str) -> tuple[Channel, ...]:
    """What is shown of a row where it is pointed at; `ratio` is what the ratio is called."""
    return (
        tip("ratio", ratio, ".3f"),
        tip("low", "from", ".3f"),
        tip("high", "to", ".3f"),
        tip("verdict", "verdict"),
        tip("p", "p, corrected"),
        tip("units", "n"),
    )


def values(judged: Pair | Change) -> Row:
    """The fields of a row; where there is no interval, both its ends are the ratio."""
    low, high = bounds(judged.interval, judged.ratio)
    return {
        "ratio": judged.ratio,
        "low": low,
        "high": high,
        "verdict": judged.verdict,
        "p": p_text(judged.p_adjusted),
        "units": judged.units if isinstance(judged, Pair) else judged.n,
    }


def key(rule: Rule) -> str:
    """The sentence that says what the dashed lines are."""
    return f"Dashed: ±{percent_text(rule.min_effect)}, the least that matters."


def height(rows: Sequence[Row]) -> int:
    """The height in pixels of a picture with so many rows."""
    return _ROW_HEIGHT * len(rows) + 20


def tally(verdicts: Sequence[PairVerdict]) -> str:
    """How many have each verdict: `9 faster, 2 alike`."""
    counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS}
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
