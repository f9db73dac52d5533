"""The links that the benchmarks measure on: their names, and about what each can carry. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import sqrt

from bench.link import LinkSettings
from bench.link.settings import Way

RTTS_MS: tuple[float, ...] = (10, 80, 150, 250)
RATES_MBPS: tuple[tuple[float, float], ...] = ((20, 50), (130, 240), (300, 300))
LOSSES_PERCENT: tuple[float, ...] = (0.0, 0.1)
# How long the queue before the link is, in round trips: shallow, the textbook's, and bloated.
QUEUES_RTTS: tuple[float, ...] = (0.5, 1.0, 2.5)

MIB = 1024**2
# What an IP packet of 1500 bytes carries: 20 bytes of IP, 20 of TCP and 12 of its time stamps less.
HEAD_BYTES = 52
SEGMENT_BYTES = 1500 - HEAD_BYTES
PAYLOAD_SHARE = SEGMENT_BYTES / 1500
# As Linux had it for years; named, since machines differ and single streams depend on it.
RECEIVE_BUFFER_BYTES = 6 * MIB
SEND_BUFFER_BYTES = 4 * MIB
# About half of a buffer is payload in flight, the rest is what the kernel needs around it.
_WINDOW_BYTES = SEND_BUFFER_BYTES / 2
_BEGIN_S, _BEGIN_ROUND_TRIPS = 0.3, 10


def make(
    rtt_ms: float,
    rates_mbps: tuple[float, float],
    loss_percent: float,
    congestion: str = "cubic",
    queue_rtts: float | None = None,
) -> LinkSettings:
    """One link; rates are those up and down, and a queue that isn't said holds one round trip."""
    return LinkSettings(
        rtt_s=rtt_ms / 1000,
        up_mbps=rates_mbps[0],
        down_mbps=rates_mbps[1],
        loss=loss_percent / 100,
        queue_s=None if queue_rtts is None else queue_rtts * rtt_ms / 1000,
        congestion_control=congestion,
        receive_buffer_bytes=RECEIVE_BUFFER_BYTES,
        send_buffer_bytes=SEND_BUFFER_BYTES,
    )


def links(
    rtts_ms: Sequence[float] = RTTS_MS,
    rates_mbps: Sequence[tuple[float, float]] = RATES_MBPS,
    losses_percent: Sequence[float] = LOSSES_PERCENT,
    congestion: str = "cubic",
) -> list[LinkSettings]:
    """Every combination, in this order."""
    return [
        make(rtt_ms, rates, loss, congestion)
        for rtt_ms, rates, loss in product(rtts_ms, rates_mbps, losses_percent)
    ]


def name_of(link: LinkSettings) -> str:
    """`80 ms, 130/240 Mbps, loss 0.1 %, cubic, queue 2.5 RTT`; the queue where it was said."""
    return (
        f"{1000 * link.rtt_s:g} ms, {link.up_mbps:g}/{link.down_mbps:g} Mbps, "
        f"loss {100 * link.loss:g} %, {link.congestion_control}"
    ) + ("" if link.queue_s is None else f", queue {queue_rtts(link):g} RTT")


def queue_rtts(link: LinkSettings) -> float:
    """How many round trips the queue holds; one where nothing was said."""
    return 1.0 if link.queue_s is None else round(link.queue_s / link.rtt_s, 6)


def payload_mbps(link: LinkSettings, way: Way) -> float:
    """The most payload that the link can carry in one direction, in full packets."""
    return link.mbps(way) * PAYLOAD_SHARE


def expected_mbps(link: LinkSettings, way: Way, streams: int) -> float:
    """About what so many TCP connections carry together once they have got going."""
    return min(payload_mbps(link, way), streams * _of_one_stream_mbps(link))


def expected_s(link: LinkSettings, way: Way, streams: int, size_bytes: int) -> float:
    """About how long a transfer takes, from its first request to its end."""
    moving_s = size_bytes * 8 / 1e6 / expected_mbps(link, way, streams)
    return _BEGIN_S + _BEGIN_ROUND_TRIPS * link.rtt_s + moving_s


def _of_one_stream_mbps(link: LinkSettings) -> float:
    """By its window: that of the buffers, or what loss leaves of it.

    Cubic's window after RFC 8312, sections 4.2 and 5.1: the larger of that of standard TCP,
    `sqrt(1.5 / p)` packets, and `1.054 * (rtt / p) ** 0.75`. BBR takes no loss for a signal.
    """
    rtt_s = max(link.rtt_s, 1e-3)
    window_bytes = _WINDOW_BYTES
    if link.loss and link.congestion_control != "bbr":
        packets = max(sqrt(1.5 / link.loss), 1.054 * (rtt_s / link.loss) ** 0.75)
        window_bytes = min(window_bytes, packets * SEGMENT_BYTES)
    return window_bytes * 8 / 1e6 / rtt_s
