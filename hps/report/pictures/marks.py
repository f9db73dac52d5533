"""The marks that pictures are made of; a colour is one for all rows, or a channel of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hps.report.pictures.picture import Channel, Layer, Row, number, tip

Colour = str | Channel
Tips = Sequence[Channel]
SAMPLES = "Number of Samples"


def bins(rows: Sequence[Row], axis: str, colour: Colour, *, stacked: bool = False) -> Layer:
    """Bars of a histogram, of rows with `low`, `high` and `nodes`."""
    named = [] if isinstance(colour, str) else [tip(str(colour["field"]), "of")]
    return _layer(
        rows,
        {"type": "bar", "opacity": 1.0 if stacked else 0.5, "binSpacing": 1},
        {
            "x": number("low", axis, bin={"binned": True}, axis={"grid": False, "tickCount": 8}),
            "x2": {"field": "high"},
            "y": number("nodes", SAMPLES, stack=stacked or None, axis={"tickCount": 6}),
        },
        colour,
        [*named, tip("low", "from", ","), tip("high", "to", ","), tip("nodes", "nodes")],
    )


def line(rows: Sequence[Row], x: Channel, y: Channel, colour: Colour) -> Layer:
    """A line through the rows, one for each name where the colour is a channel."""
    mark = {"type": "line", "strokeWidth": 2.5, "point": False}
    return _layer(rows, mark, {"x": x, "y": y}, colour)


def band(rows: Sequence[Row], x: Channel, low: Channel, high: str, colour: Colour) -> Layer:
    """An area from the channel `low` to the field `high`."""
    mark = {"type": "area", "opacity": 0.18}
    return _layer(rows, mark, {"x": x, "y": low, "y2": {"field": high}}, colour)


def dots(
    rows: Sequence[Row],
    x: Channel,
    y: Channel,
    colour: Colour,
    tips: Tips,
    **mark: object,
) -> Layer:
    """A dot for each row."""
    return _layer(rows, {"type": "point", "filled": True, **mark}, {"x": x, "y": y}, colour, tips)


def spans(rows: Sequence[Row], low: Channel, high: str, y: Channel, colour: Colour) -> Layer:
    """A horizontal line for each row, from the channel `low` to the field `high`."""
    channels = {"x": low, "x2": {"field": high}, "y": y}
    return _layer(rows, {"type": "rule", "strokeWidth": 2}, channels, colour)


def rule(way: str, values: Sequence[float], axis: Channel, colour: str, *, dashed: bool) -> Layer:
    """Straight lines across the picture where the channel `way`, `x` or `y`, has these values."""
    field = str(axis["field"])
    mark = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [5, 4] if dashed else [1, 0]}
    return _layer([{field: value} for value in values], mark, {way: axis}, colour)


def labels(
    rows: Sequence[Row], x: Channel, y: Channel, text: str, colour: Colour, **mark: object
) -> Layer:
    """The field `text` of each row, written at its place."""
    style = {"type": "text", "fontSize": 12, **mark}
    return _layer(rows, style, {"x": x, "y": y, "text": {"field": text}}, colour)


def _layer(
    rows: Sequence[Row],
    mark: Mapping[str, object],
    channels: Mapping[str, Channel],
    colour: Colour,
    tips: Tips = (),
) -> Layer:
    shown: Mapping[str, Tips] = {"tooltip": list(tips)} if tips else {}
    if isinstance(colour, str):
        return Layer(rows=rows, mark={**mark, "color": colour}, channels={**channels, **shown})
    return Layer(rows=rows, mark=mark, channels={**channels, "color": colour, **shown})
