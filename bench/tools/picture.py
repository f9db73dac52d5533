"""Measured cases of one file -> Mbps of each tool, a panel for each link and way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import drawn
from bench.link.settings import WAYS
from bench.settings.gain import mean
from bench.tools.by_link import SIZE_BYTES, Measured, is_plain
from bench.tools.cases import EQUAL, LINKS, OWN, Case
from bench.tools.table import Data, rows

NAME = "tools-by-link"
_TERMS = {EQUAL: "10 chunks of 10 MiB at once", OWN: "as it comes"}
_WAYS = {"up": "Upload", "down": "Download"}
Point = dict[str, Any]


def draw(measured: Measured, tools: Sequence[str], folder: Path) -> list[Path]:
    """Write `tools-by-link.svg` and `.png` into a folder; nothing where there is no data."""
    cases = [one for one in measured if is_plain(one[0])]
    points = [point for case, blocks in cases for point in _points(case, blocks, tools)]
    return drawn.save(_chart(points, tools), folder, NAME) if points else []


def _points(case: Case, blocks: Sequence[Data], tools: Sequence[str]) -> Iterator[Point]:
    """The mean of each tool one way on the same terms, and the least and most of the blocks."""
    for row in rows(tools, blocks):
        known, middle = [rate for rate in row.rates if rate], mean(row.rates)
        if middle is not None:
            yield {
                "panel": f"{_WAYS[row.way]}, {_link(case)}",
                "tool": row.tool,
                "terms": _TERMS[row.terms],
                "mbps": round(middle, 2),
                "least": round(min(known), 2),
                "most": round(max(known), 2),
            }


def _link(case: Case) -> str:
    link = LINKS[case.link]
    assert link is not None  # a plain case has one
    return f"{1000 * link.rtt_s:g} ms, {link.up_mbps:g}/{link.down_mbps:g} Mbps"


def _chart(points: Sequence[Point], tools: Sequence[str]) -> dict[str, Any]:
    import altair  # noqa: PLC0415 - slow to import

    panels = list(dict.fromkeys(point["panel"] for point in points))
    ordered = [panel for way in WAYS for panel in panels if panel.startswith(_WAYS[way])]
    y = altair.Y("tool:N", title=None, sort=list(tools))
    terms = list(_TERMS.values())
    colour = altair.Color(
        "terms:N", title=None, sort=terms, legend=altair.Legend(orient="top"),
        scale=altair.Scale(domain=terms, range=[drawn.COLOURS[0], drawn.COLOURS[3]]),
    )  # fmt: skip
    offset = altair.YOffset("terms:N", sort=terms)
    x = altair.X("mbps:Q", title="Mbps", scale=altair.Scale(zero=True))
    base = altair.Chart().encode(y=y, yOffset=offset, color=colour)
    layers = altair.layer(
        base.mark_rule(strokeWidth=2).encode(x=altair.X("least:Q", title="Mbps"), x2="most:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x),
    ).properties(width=230, height=26 * len(tools))
    faceted = layers.facet(
        facet=altair.Facet("panel:N", title=None, sort=ordered),
        data=altair.InlineData(values=list(points)),
        columns=len(ordered) // len(WAYS),
    ).properties(title=_title())
    whole: dict[str, Any] = faceted.configure(font=drawn.FONT, background="#ffffff").to_dict()
    return whole


def _title() -> dict[str, Any]:
    return {
        "text": f"Throughput of {SIZE_BYTES // 1024**2} MiB by tool",
        "subtitle": ["Emulated links over TLS. Points: geometric means; lines: all blocks."],
        "anchor": "start",
    }
