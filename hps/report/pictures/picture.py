"""What a picture is before it is drawn: rows, marks and channels in the words of Vega-Lite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from hps.compare.comparison import Findings, direction_of

# -------------------------------------------------------------------------------------------------
# The colours of the pictures: those of Okabe and Ito, which people see apart whatever their eyes.
#
# Files get fixed colours on white. The page's are variables of its style sheet, which change with
# light, dark and print; the colour beside each is what a reader without them shows.


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """Colours of CSS by what they are for. `paper` None: what lies below shows through."""

    ink: str = "#1b1f24"
    muted: str = "#5b6570"
    grid: str = "#e3e7eb"
    paper: str | None = "#ffffff"
    blue: str = "#0072b2"
    red: str = "#d55e00"
    green: str = "#009e73"
    orange: str = "#e69f00"
    sky: str = "#56b4e9"
    purple: str = "#cc79a7"
    font: str = "Liberation Sans, Arial, Helvetica, sans-serif"

    @property
    def series(self) -> tuple[str, ...]:
        """Colours for classes that have none of their own, the best told apart first."""
        return (self.blue, self.red, self.green, self.purple, self.orange, self.sky, self.muted)


FILES = Paint()


def _page() -> Paint:
    colours = {
        field.name: f"var(--{field.name}, {getattr(FILES, field.name)})"
        for field in fields(Paint)
        if field.name not in {"paper", "font"}
    }
    return Paint(**colours, paper=None, font="system-ui, sans-serif")


PAGE = _page()


def of_steps(steps: Sequence[str], paint: Paint) -> list[str]:
    """A colour for each step: blue for what goes up, red for what comes down, then others."""
    free = list(paint.series)
    colours = []
    for step in steps:
        wanted = {"up": paint.blue, "down": paint.red}.get(direction_of(step))
        colour = wanted if wanted in free else next(iter(free), paint.muted)
        colours.append(str(colour))
        if colour in free:
            free.remove(str(colour))
    return colours


# -------------------------------------------------------------------------------------------------
# The picture itself.

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
