"""Charts of Vega-Lite as files: an SVG for the README, and a PNG beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Of Okabe and Ito: told apart whatever one's eyes.
COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9")
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def save(spec: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Write `<name>.svg` and `<name>.png` into a folder. Returns both paths."""
    import vl_convert  # noqa: PLC0415 - slow to import

    folder.mkdir(parents=True, exist_ok=True)
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    svg.write_text(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), encoding="utf-8")
    png.write_bytes(vl_convert.vegalite_to_png(spec, scale=2.0, allowed_base_urls=[]))
    return [svg, png]
