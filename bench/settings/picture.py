"""Measured cases -> throughput over concurrency by round-trip time, a row for each queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import drawn, grid
from bench.link.settings import Way
from bench.settings import gain, table
from bench.settings.by_queue import is_plain, link_of
from bench.settings.cases import PUBLISHED_STREAMS, Setting

NAME = "throughput-by-rtt"
_TITLES: Mapping[Way, str] = {"up": "Upload", "down": "Download"}
Case = Mapping[str, Any]
Row = dict[str, Any]


def draw(measured: Sequence[Case], folder: Path) -> list[Path]:
    """Write `throughput-by-rtt.svg` and `.png` into a folder; nothing where there is no data."""
    rows = [row for case in measured if is_plain(case) for row in _rows(case)]
    return drawn.save(_chart(rows), folder, NAME) if rows else []


def _rows(case: Case) -> Iterator[Row]:
    """For each number of streams the best of its chunk sizes, and the published commands."""
    link = case["case"]["link"]
    name, queue = f"{1000 * link['rtt_s']:g} ms", grid.queue_rtts(link_of(case))
    of_rates = f"{link['up_mbps']:g} Mbps up, {link['down_mbps']:g} down"
    for way, title in _TITLES.items():
        found = table.rates(case, way)
        shared = {"rtt": name, "rtt_s": link["rtt_s"], "rates": of_rates,
                  "queue": queue, "panel": f"{title}, queue {queue:g} RTT"}  # fmt: skip
        published = gain.mean(found[table.PUBLISHED])
        if published is not None:
            yield {**shared, "what": "published", "streams": PUBLISHED_STREAMS[way],
                   "mbps": round(published, 2)}  # fmt: skip
        for streams, mbps in sorted(_best_by_streams(case, way).items()):
            yield {**shared, "what": "hps", "streams": streams, "mbps": round(mbps, 2)}


def _best_by_streams(case: Case, way: str) -> dict[int, float]:
    found, best = table.rates(case, way), dict[int, float]()
    for fields in case["case"]["settings"]:
        setting = Setting(**fields)
        mean = gain.mean(found.get(setting.name, []))
        if mean is not None:
            best[setting.streams] = max(mean, best.get(setting.streams, 0.0))
    return best


def _chart(rows: Sequence[Row]) -> dict[str, Any]:
    import altair  # noqa: PLC0415 - slow to import

    rtts = [row["rtt"] for row in sorted(rows, key=lambda row: float(row["rtt_s"]))]
    order = list(dict.fromkeys(rtts))
    streams = sorted({row["streams"] for row in rows})
    colour = altair.Color(
        "rtt:N", title="Round trip", sort=order,
        scale=altair.Scale(domain=order, range=list(drawn.COLOURS[: len(order)])),
    )  # fmt: skip
    x = altair.X(
        "streams:Q", title="Chunks in flight",
        scale=altair.Scale(type="log", base=2, domain=[streams[0], streams[-1]], nice=False),
        axis=altair.Axis(values=streams, format="d", grid=False),
    )  # fmt: skip
    y = altair.Y("mbps:Q", title="Throughput, Mbps", scale=altair.Scale(zero=True))
    base = altair.Chart().encode(x=x, y=y, color=colour)
    swept = base.transform_filter("datum.what == 'hps'")
    published = base.transform_filter("datum.what == 'published'")
    chart = altair.layer(
        swept.mark_line(strokeWidth=2.5),
        swept.mark_point(filled=True, size=60, opacity=1),
        published.mark_point(shape="diamond", size=190, strokeWidth=2.5, filled=False, opacity=1),
    ).properties(width=330, height=220)
    panels = dict.fromkeys(
        row["panel"] for row in sorted(rows, key=lambda row: float(row["queue"]))
    )
    titled = chart.facet(
        facet=altair.Facet("panel:N", title=None, sort=list(panels)),
        data=altair.InlineData(values=list(rows)),
        columns=len(_TITLES),
    ).properties(title=_title(rows))
    whole: dict[str, Any] = titled.configure(font=drawn.FONT, background="#ffffff").to_dict()
    return whole


def _title(rows: Sequence[Row]) -> dict[str, Any]:
    rates = " and ".join(dict.fromkeys(row["rates"] for row in rows))
    return {
        "text": "Throughput over chunks in flight, by round-trip time",
        "subtitle": [
            f"Emulated links, {rates}, cubic. Diamonds: what the published commands run.",
            "Geometric means over blocks; of each number of streams the best chunk size.",
        ],
        "anchor": "start",
    }
