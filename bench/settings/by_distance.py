"""Measured cases -> what ten chunks at once gain, a column for each round-trip time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import grid
from bench.link import LinkSettings
from bench.link.settings import WAYS
from bench.settings import gain, table
from bench.settings.cases import Setting

Case = Mapping[str, Any]
# Up and down, loss, congestion control, over HTTPS, queue: all of a link but its distance.
_Kind = tuple[float, float, float, str, bool, float]
NOTE = (
    "Mbps of the published commands → of ten chunks at once, as declared; how many times as fast "
    "that is, and how many times as fast the best setting of the sweep, with 95 % intervals, "
    "**bold** where they leave out 1 (of 20 that are alike, one does by chance)."
)


def text(measured: Sequence[Case]) -> str:
    """The table; nothing where all links are of one distance."""
    rtts = sorted({_rtt_ms(case) for case in measured})
    if len(rtts) == 1:
        return ""
    places = {(_kind(case), _rtt_ms(case)): case for case in measured}
    kinds = sorted({kind for kind, _ in places}, key=_order)
    rows = [
        [_words(kind), way, *(_cell(places.get((kind, rtt)), way) for rtt in rtts)]
        for kind in kinds
        for way in WAYS
    ]
    return f"{table.drawn(rows, ['link', '', *(f'{rtt:g} ms' for rtt in rtts)])}\n\n{NOTE}"


def _cell(case: Case | None, way: str) -> str:
    if case is None:
        return ""
    rates, declared = table.rates(case, way), Setting(**case["declared"]).name
    published, ours = rates.pop(table.PUBLISHED), rates.get(declared, [])
    times = gain.gain(ours, published) if ours else None
    best = gain.gain_of_best(rates, published)
    if times is None or best is None:
        return "failed"
    rose = f"{gain.mean(published):.3g} → {gain.mean(ours):.3g}"
    return f"{rose}<br>{_said(times)}<br>best {_said(best)}"


def _said(times: gain.Gain) -> str:
    return times.text() if times.low <= 1 <= times.high else f"**{times.text()}**"


def _kind(case: Case) -> _Kind:
    link = case["case"]["link"]
    rates = float(link["up_mbps"]), float(link["down_mbps"])
    shared = float(link["loss"]), link["congestion_control"], case["case"]["tls"]
    return (*rates, *shared, grid.queue_rtts(LinkSettings(**link)))


def _order(kind: _Kind) -> tuple[object, ...]:
    """By rates, HTTPS last, cubic before BBR."""
    up_mbps, down_mbps, loss, congestion, tls, queue_rtts = kind
    return up_mbps, down_mbps, tls, congestion != "cubic", loss, queue_rtts


def _words(kind: _Kind) -> str:
    up_mbps, down_mbps, loss, congestion, tls, queue_rtts = kind
    parts = [f"{up_mbps:g}/{down_mbps:g} Mbps", f"{100 * loss:g} % loss" if loss else "no loss"]
    return ", ".join([*parts, congestion, *(["HTTPS"] if tls else []), f"queue {queue_rtts:g} RTT"])


def _rtt_ms(case: Case) -> float:
    return round(1000 * float(case["case"]["link"]["rtt_s"]), 3)
