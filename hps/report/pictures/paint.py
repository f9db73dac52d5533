"""The colours of the pictures: those of Okabe and Ito, which people see apart whatever their eyes.

Files get fixed colours on white. The page's are variables of its style sheet, which change with
light, dark and print; the colour beside each is what a reader without them shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from hps.catalog.steps import STEP_KINDS


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
        kind = STEP_KINDS.get(step)
        wanted = {"up": paint.blue, "down": paint.red}.get(kind.direction if kind else "none")
        colour = wanted if wanted in free else next(iter(free), paint.muted)
        colours.append(str(colour))
        if colour in free:
            free.remove(str(colour))
    return colours
