"""What was found of a run's growth, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from bench.soak.growth import PER, QUARTERS, Growth
from bench.soak.run import Soaked

_HEADERS = (
    "of", "", *(f"quarter {number}" for number in range(1, QUARTERS + 1)),
    f"per {PER:,} operations", "95 % interval", "",
)  # fmt: skip


def text(soaked: Soaked, found: Sequence[Growth]) -> str:
    """The table, with a line on what was run before it and the verdict after it."""
    rows = [
        [
            *growth.name,
            *(f"{mean:.1f}" for mean in growth.quarters),
            f"{growth.slope:+.2f}",
            f"{growth.low:+.2f} to {growth.high:+.2f}",
            _word(growth),
        ]
        for growth in found
    ]
    align = ["left", "left", *(["right"] * (QUARTERS + 2)), "left"]
    drawn = tabulate(
        rows, headers=_HEADERS, tablefmt="github", disable_numparse=True, colalign=align
    )
    return f"{_run(soaked)}\n\n{drawn}\n\n{verdict(soaked, found)}"


def _word(growth: Growth) -> str:
    if not growth.judged:
        return "too short a run"
    return "grows" if growth.grows else "flat"


def verdict(soaked: Soaked, found: Sequence[Growth]) -> str:
    """What grows, by name, and what stayed behind; or that nothing did."""
    lines = [f"{who}: {what} grow" for who, what in (one.name for one in found if one.grows)]
    if soaked.left_behind:
        lines.append(f"Left behind in the temporary folder: {soaked.left_behind}.")
    return "\n".join(lines) or "Nothing grows, and nothing was left behind."


def _run(soaked: Soaked) -> str:
    return (
        f"{soaked.operations:,} operations in a row, {len(soaked.samples)} looks; means of each "
        "quarter, and the slope of the second half."
    )
