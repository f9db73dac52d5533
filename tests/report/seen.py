"""Pictures of findings by name, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hps.compare.comparison import Findings
from hps.report.pictures import gallery
from hps.report.pictures.picture import FILES, Channel, Gap, Layer, Picture


def pictures(findings: Findings) -> dict[str, Picture]:
    """All pictures, by name."""
    return {one.name: one for one in gallery.pictures(gallery.draw(findings, FILES))}


def gaps(findings: Findings) -> dict[str, Gap]:
    """What was not drawn, by name."""
    return {one.name: one for one in gallery.draw(findings, FILES) if isinstance(one, Gap)}


def layers(picture: Picture, mark: str) -> list[Layer]:
    """Its layers with this mark, such as `bar`."""
    return [layer for layer in picture.layers if layer.mark["type"] == mark]


def column(layer: Layer, field: str) -> list[float]:
    """A field of all rows, as numbers."""
    return [float(str(row[field])) for row in layer.rows]


def values(layer: Layer, field: str) -> list[object]:
    """A field of all rows."""
    return [row[field] for row in layer.rows]


def channel(layer: Layer, name: str) -> Channel:
    """One of a layer's channels."""
    found = layer.channels[name]
    assert isinstance(found, Mapping)
    return found


def title(layer: Layer, axis: str) -> object:
    """What an axis is called."""
    return channel(layer, axis)["title"]


def texts(layers: Sequence[Layer]) -> list[str]:
    """What layers of text write."""
    return [
        str(row[str(channel(layer, "text")["field"])]) for layer in layers for row in layer.rows
    ]
