"""What a picture is before it is drawn: rows, marks and channels in the words of Vega-Lite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hps.compare.comparison import Findings
from hps.report.pictures.paint import Paint

Row = Mapping[str, object]
Channel = Mapping[str, object]
Section = Literal["settings", "fleet", "time", "reliability"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One mark drawn for each of the rows; a line or an area goes through all of them."""

    rows: Sequence[Row]
    mark: Mapping[str, object]
    channels: Mapping[str, Channel | Sequence[Channel]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One idea, drawn. `finding` says in words what is to be seen, for those who can't see it.

    `name` is fit for a file. `height` and `least_width` are in pixels; a screen narrower than
    that scrolls within the picture.
    """

    name: str
    section: Section
    title: str
    note: str
    finding: str
    layers: Sequence[Layer]
    height: int = 280
    least_width: int = 280


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A picture that there is no data for; `reason` is a sentence that says so."""

    name: str
    section: Section
    reason: str


Drawn = Picture | Gap
Draw = Callable[[Findings, Paint], Sequence[Drawn]]


def number(field: str, title: str | None = None, **more: object) -> Channel:
    """A channel of numbers from the field `field`; `more` is as Vega-Lite has it."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def category(
    field: str, title: str | None = None, order: Sequence[object] | None = None, **more: object
) -> Channel:
    """A channel of names, in the order given (None: that of the rows)."""
    return {
        "field": field,
        "type": "ordinal",
        "title": title,
        "sort": None if order is None else list(order),
        **more,
    }


def colours(field: str, names: Sequence[str], values: Sequence[str], **more: object) -> Channel:
    """A channel of colours with a legend: `values` has the colour of each name."""
    scale = {"domain": list(names), "range": list(values)}
    return {"field": field, "type": "nominal", "title": None, "scale": scale, **more}


def tip(field: str, title: str, form: str | None = None) -> Channel:
    """A line that is shown where a mark is pointed at; `form` is a format of numbers (d3)."""
    if form is None:
        return {"field": field, "type": "nominal", "title": title}
    return {"field": field, "type": "quantitative", "title": title, "format": form}
