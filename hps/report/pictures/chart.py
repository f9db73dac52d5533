"""A picture -> a chart in Vega-Lite, and as PNG or SVG. Tests check each against the schema."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hps.errors import printable
from hps.report.pictures.picture import Layer, Paint, Picture, Row

Spec = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.4.1.json"
WIDTH = 640
_SUBTITLE_WIDTH = 100


def spec(picture: Picture, paint: Paint, *, titled: bool) -> Spec:
    """A dict of Vega-Lite. `titled` False: the title stands beside the picture, and not in it."""
    names, datasets = _datasets(picture.layers)
    chart: Spec = {
        "$schema": SCHEMA,
        "layer": _layers(picture, names),
        "config": _config(paint),
        "description": picture.finding,
        "height": picture.height,
        **({"title": _title(picture)} if titled else {}),
        "width": WIDTH,
        "datasets": datasets,
    }
    return {name: _printable_texts(part) for name, part in chart.items()}


def _printable_texts(value: Any) -> Any:
    """A value with all its texts on one line, since Vega's expressions can't hold line ends."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {name: _printable_texts(one) for name, one in value.items()}
    return [_printable_texts(one) for one in value] if isinstance(value, list | tuple) else value


def _datasets(layers: Sequence[Layer]) -> tuple[list[str], dict[str, list[Row]]]:
    """The name of each layer's rows, and the rows; layers that draw the same ones share them."""
    places: dict[int, str] = {}
    for layer in layers:
        places.setdefault(id(layer.rows), f"rows{len(places)}")
    names = [places[id(layer.rows)] for layer in layers]
    return names, {name: list(layer.rows) for name, layer in zip(names, layers, strict=True)}


def _layers(picture: Picture, names: Sequence[str]) -> list[Spec]:
    titles = _titles(picture)
    layers = []
    for layer, name in zip(picture.layers, names, strict=True):
        channels: dict[str, Any] = {**layer.channels}
        for axis in channels.keys() & titles.keys():
            channels[axis] = {**channels[axis], "title": titles[axis]}
        mark = {"tooltip": None, **layer.mark}
        layers.append({"data": {"name": name}, "mark": mark, "encoding": channels})
    return layers


def _titles(picture: Picture) -> dict[str, str]:
    """The first title that a layer has for each axis: Vega-Lite would join those of all layers."""
    titles: dict[str, str] = {}
    for layer in picture.layers:
        for name in ("x", "y"):
            channel = layer.channels.get(name)
            if isinstance(channel, Mapping) and isinstance(channel.get("title"), str):
                titles.setdefault(name, str(channel["title"]))
    return titles


def _title(picture: Picture) -> dict[str, Any]:
    # Vega does not wrap.
    note = " ".join(printable(picture.note).split())
    lines = textwrap.wrap(note, _SUBTITLE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return {"text": picture.title, "subtitle": lines}


def _config(paint: Paint) -> dict[str, Any]:
    """A quiet style: a light grid, no frame, no ticks; names in ink, numbers muted."""
    return {
        "background": paint.paper or "transparent",
        "font": paint.font,
        "mark": {"aria": False},
        "padding": 12 if paint.paper else 2,
        "view": {"stroke": None},
        "axis": _axis(paint),
        "legend": _legend(paint),
        "title": _heading(paint),
    }


def _axis(paint: Paint) -> dict[str, Any]:
    return {
        "labelColor": paint.muted,
        "titleColor": paint.muted,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": paint.grid,
        "domainColor": paint.grid,
        "ticks": False,
        "domain": False,
        "labelPadding": 6,
        "labelFlush": False,
        "titlePadding": 10,
        "labelLimit": 220,
        "labelSeparation": 6,
    }


def _legend(paint: Paint) -> dict[str, Any]:
    return {
        "orient": "top",
        "labelColor": paint.ink,
        "titleColor": paint.muted,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "symbolSize": 110,
        "symbolOpacity": 1,
        "symbolStrokeWidth": 2,
        "offset": 8,
        "columns": 4,
    }


def _heading(paint: Paint) -> dict[str, Any]:
    return {
        "anchor": "start",
        "frame": "group",
        "color": paint.ink,
        "fontSize": 17,
        "fontWeight": "bold",
        "subtitleColor": paint.muted,
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
        "offset": 14,
    }


# -------------------------------------------------------------------------------------------------
# A chart -> PNG or SVG, by vl-convert: no browser, no network, no file.

Format = Literal["png", "svg"]
PIXEL_RATIO = 2.0


def render(spec: Spec, style: Format) -> bytes:
    """The content of an image file in this format."""
    return png(spec) if style == "png" else svg(spec).encode()


def png(spec: Spec) -> bytes:
    """A PNG file's content, with two pixels to a point."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.vegalite_to_png(spec, scale=PIXEL_RATIO, allowed_base_urls=[])


def svg(spec: Spec) -> str:
    """An SVG element as text."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


def library() -> str:
    """The JavaScript that draws charts in a browser: Vega, Vega-Lite and Vega-Embed in one."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
