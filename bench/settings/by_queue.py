"""Measured cases -> throughput with 1, 4 and 10 streams, a column for each queue. Pure.

The README's table: the published fleet's mean rates, cubic, no loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import grid
from bench.link import LinkSettings
from bench.link.settings import WAYS
from bench.settings import gain, table
from bench.settings.cases import FLEET_MBPS, Setting

Case = Mapping[str, Any]
STREAMS = (1, 4, 10)
NOTE = (
    "Mbps with 1 / 4 / 10 streams, on emulated links of {up:g} Mbps up and {down:g} down, cubic, "
    "no loss. Queue: how much the slowest hop can hold back, in round trips. **Bold**: at least "
    "5 % above both others, in every block."
)
_CLEARLY = 1.05


def text(measured: Sequence[Case]) -> str:
    """The table; nothing where no such link is measured."""
    cases = [case for case in measured if is_plain(case)]
    places = {(link_of(case).rtt_s, grid.queue_rtts(link_of(case))): case for case in cases}
    if not places:
        return ""
    queues = sorted({queue for _, queue in places})
    rows = [
        [f"{1000 * rtt_s:g} ms", way, *(_cell(places.get((rtt_s, queue)), way) for queue in queues)]
        for rtt_s in sorted({rtt_s for rtt_s, _ in places})
        for way in WAYS
    ]
    headers = ["round trip", "", *(f"queue {queue:g} RTT" for queue in queues)]
    note = NOTE.format(up=FLEET_MBPS[0], down=FLEET_MBPS[1])
    return f"{table.drawn(rows, headers)}\n\n{note}"


def is_plain(case: Case) -> bool:
    """Links that differ in distance and queue alone."""
    link = link_of(case)
    plain = link.congestion_control == "cubic" and not link.loss and not case["case"]["tls"]
    return plain and (link.up_mbps, link.down_mbps) == FLEET_MBPS


def link_of(case: Case) -> LinkSettings:
    """The link that a case was measured on."""
    return LinkSettings(**case["case"]["link"])


def _cell(case: Case | None, way: str) -> str:
    if case is None:
        return ""
    rates = table.rates(case, way)
    of_streams = {
        setting.streams: rates.get(setting.name, [])
        for setting in (Setting(**fields) for fields in case["case"]["settings"])
    }
    found = [of_streams.get(streams, []) for streams in STREAMS]
    return " / ".join(_number(one, [other for other in found if other is not one]) for one in found)


def _number(rates: gain.Rates, others: Sequence[gain.Rates]) -> str:
    mean = gain.mean(rates)
    if mean is None:
        return "-"
    clear = all(_is_above(rates, other) for other in others)
    return f"**{mean:.0f}**" if clear else f"{mean:.0f}"


def _is_above(rates: gain.Rates, others: gain.Rates) -> bool:
    pairs = zip(rates, others, strict=False)
    return all(one and other and one > _CLEARLY * other for one, other in pairs)
