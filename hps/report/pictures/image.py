"""A chart -> PNG or SVG, by vl-convert: no browser, no network, no file."""

from __future__ import annotations

from typing import Literal

from hps.report.pictures.chart import Spec

Format = Literal["png", "svg"]
PIXEL_RATIO = 2.0


def render(spec: Spec, style: Format) -> bytes:
    """The chart as an image file's content."""
    return png(spec) if style == "png" else svg(spec).encode()


def png(spec: Spec) -> bytes:
    """The chart as PNG, two pixels to a point."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.vegalite_to_png(spec, scale=PIXEL_RATIO, allowed_base_urls=[])


def svg(spec: Spec) -> str:
    """The chart as SVG."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


def library() -> str:
    """The JavaScript that draws charts in a browser: Vega, Vega-Lite and Vega-Embed in one."""
    import vl_convert  # noqa: PLC0415 - slow to import

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
