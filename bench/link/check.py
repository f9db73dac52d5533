"""The link against itself: what TCP meets on it has to be what its settings say."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median

from tabulate import tabulate

from bench.link import tcp
from bench.link.bulk import Copy, connect_times_s, copying
from bench.link.counters import Counters
from bench.link.link import Link
from bench.link.settings import WAYS, LinkSettings, Way
from bench.link.tcp import TcpSettings

TOLERANCE = 0.05
_CONNECTS = 21
_CONNECTIONS = 8
_SYN_BYTES = 60
# A processor that is taken away for a moment spoils one window, and not the median.
_WINDOW_S = 1.5
_BUSY_SHARE = 0.97
# How many standard deviations the number of lost packets may be off: chance is further off once in
# 16,000 times.
_DEVIATIONS = 4.0
_MIB = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing compared; `allowed` is by how much, in the same unit."""

    what: str
    expected: float
    measured: float
    allowed: float

    @property
    def good(self) -> bool:
        """True where it is near enough."""
        return abs(self.measured - self.expected) <= self.allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was seen of a copy for a time: by its receivers, and by the link."""

    busy_share: float
    payload_mbps: float
    busy_mbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All rows, and the counters of each copy; the settings are those that were tried."""

    settings: LinkSettings
    tcp: TcpSettings
    rows: tuple[Row, ...]
    copies: tuple[tuple[Way, Counters], ...]

    @property
    def good(self) -> bool:
        """True where every row is."""
        return all(row.good for row in self.rows)

    def text(self) -> str:
        """A table, and the counters of each copy."""
        rows = [
            [row.what, f"{row.expected:.4g}", f"{row.measured:.4g}", _off(row),
             "ok" if row.good else "WRONG"]
            for row in self.rows
        ]  # fmt: skip
        headers = ["", "expected", "measured", "off by", ""]
        table = tabulate(rows, headers=headers, disable_numparse=True)
        counters = [f"The copy {way}:\n\n{counted.text()}" for way, counted in self.copies]
        return "\n\n".join([table, *counters])


def check(settings: LinkSettings, *, windows: int = 5) -> Report:
    """Measure TCP connects, then a copy each way, on a link like this.

    So that TCP can fill the link, and what is missing is the link's fault, the queue is at least
    one bandwidth-delay product, socket buffers are large, and congestion control is cubic (else
    reno) unless the settings name one. Rates are the median of so many `windows` of time in which
    TCP kept the link busy. Where packets are lost at random TCP can't, and their number is compared
    instead.
    """
    tried = _for_tcp_to_fill(settings)
    with Link(tried) as link:
        in_force = link.tcp
        rows = [_connects(link)]
        copies: list[tuple[Way, Counters]] = []
        for way in WAYS:
            link.reset()
            rates = _copy_rates(link, way, windows)
            copies.append((way, link.settle()))
            rows += rates if not settings.loss else ()
    if settings.loss:
        rows += [_losses(way, settings.loss, [counters for _, counters in copies]) for way in WAYS]
    rows.append(_kernel_drops([counters for _, counters in copies]))
    return Report(settings=tried, tcp=in_force, rows=tuple(rows), copies=tuple(copies))


def _for_tcp_to_fill(settings: LinkSettings) -> LinkSettings:
    most_mbps = max(settings.up_mbps, settings.down_mbps)
    # What may be in flight, and as much again for what the kernel needs around each packet.
    queue_s = max(settings.rtt_s, *(settings.queue_of_s(way) for way in WAYS))
    buffer_bytes = int(4 * most_mbps * 1e6 / 8 * (settings.rtt_s + queue_s)) + 4 * _MIB
    return replace(
        settings,
        queue_s=queue_s,
        queue_bytes=None,
        congestion_control=settings.congestion_control or tcp.loss_based(),
        receive_buffer_bytes=settings.receive_buffer_bytes or min(buffer_bytes, 2**31 - 1),
        send_buffer_bytes=settings.send_buffer_bytes or min(buffer_bytes, 2**31 - 1),
    )


def _connects(link: Link) -> Row:
    settings = link.settings
    on_wire_s = sum(_SYN_BYTES * 8 / 1e6 / settings.mbps(way) for way in WAYS)
    expected_s = settings.rtt_s + on_wire_s
    return Row(
        what=f"TCP connect, ms, median of {_CONNECTS}",
        expected=1000 * expected_s,
        measured=1000 * median(connect_times_s(link, _CONNECTS)),
        allowed=1000 * TOLERANCE * expected_s,
    )


def _copy_rates(link: Link, way: Way, count: int) -> list[Row]:
    """Payload received and the link's own rate, each the median of some windows of a copy."""
    settings = link.settings
    mbps = settings.mbps(way)
    with copying(link, way, _CONNECTIONS) as copy:
        windows = _busy_windows(link, way, copy, count)
    payload = mbps * copy.segment_bytes / settings.mtu_bytes
    return [
        Row(
            what=f"{way}: payload, Mbps, median of {len(windows)}",
            expected=payload,
            measured=_median(window.payload_mbps for window in windows),
            allowed=TOLERANCE * payload,
        ),
        Row(
            what=f"{way}: rate when busy, Mbps, median of {len(windows)}",
            expected=mbps,
            measured=_median(window.busy_mbps for window in windows),
            allowed=TOLERANCE * mbps,
        ),
    ]


def _median(values: Iterable[float]) -> float:
    """0 where there is none: a link that TCP never filled is not a good one."""
    found = list(values)
    return median(found) if found else 0.0


def _busy_windows(link: Link, way: Way, copy: Copy, count: int) -> list[Window]:
    """So many windows in which the link was busy, or as many as there were after four times that.

    In the others TCP sent less than the link would have taken: they say nothing of the link.
    """
    window_s = max(_WINDOW_S, 6 * link.settings.rtt_s)
    tried, busy = 0, list[Window]()
    while len(busy) < count and tried < 4 * count:
        tried += 1
        window = _window(link, way, copy, window_s)
        if link.settings.loss or window.busy_share > _BUSY_SHARE:
            busy.append(window)
    return busy


def _window(link: Link, way: Way, copy: Copy, window_s: float) -> Window:
    before, before_bytes, start_s = link.counters().of(way), copy.received_bytes, time.monotonic()
    time.sleep(window_s)
    after, moved_bytes = link.counters().of(way), copy.received_bytes - before_bytes
    busy_s, took_s = after.busy_s - before.busy_s, time.monotonic() - start_s
    return Window(
        busy_share=busy_s / took_s,
        payload_mbps=moved_bytes * 8 / 1e6 / took_s,
        busy_mbps=(after.busy_bytes - before.busy_bytes) * 8 / 1e6 / busy_s if busy_s else 0.0,
    )


def _losses(way: Way, loss: float, counted: list[Counters]) -> Row:
    """Packets lost in this direction, over both copies: payload in one, acknowledgements else."""
    arrived = sum(counters.of(way).arrived_packets for counters in counted)
    return Row(
        what=f"{way}: packets lost of {arrived}",
        expected=arrived * loss,
        measured=sum(counters.of(way).lost_packets for counters in counted),
        allowed=_DEVIATIONS * sqrt(arrived * loss * (1 - loss)),
    )


def _kernel_drops(counted: list[Counters]) -> Row:
    drops = sum(counters.of(way).kernel_drops for counters in counted for way in WAYS)
    return Row(what="packets dropped unseen", expected=0, measured=drops, allowed=0)


def _off(row: Row) -> str:
    if row.expected == 0:
        return ""
    return f"{100 * (row.measured / row.expected - 1):+.2f} %"
