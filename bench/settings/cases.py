"""Which links, files and settings are measured, and about how long that takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench import grid
from bench.link import LinkSettings
from bench.link.settings import WAYS, Way

MIB = grid.MIB
PUBLISHED_BYTES = 200 * MIB
FLEET_MBPS = (130.0, 240.0)
# What the published commands declare: streams and their chunks.
DECLARED_STREAMS = 10
DECLARED_BYTES = 10 * MIB
# What they run: a single-file upload has rclone's default of 4 streams, a download below rclone's
# cutoff of 256 MiB is one GET.
PUBLISHED_STREAMS: Mapping[Way, int] = {"up": 4, "down": 1}
_ONE: Mapping[Way, int] = {"up": 1, "down": 1}
_MOST_PUBLISHED_S = 60.0
_MOST_LOSSY_TLS_S = 0.08  # of round trip: beyond, one connection takes minutes
# Round trip in ms, loss in percent, queue in round trips.
_OTHERS = (
    *((80, 0.0, 0.5), (80, 0.0, 2.5), (80, 0.1, 1.0)),
    *((150, 0.0, 2.5), (150, 0.0, 0.5), (10, 0.0, 0.5)),
)
# Each transfer is two processes (it and what cleans up), which start and end.
_AROUND_S = 1.0
_A_RUN_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A cell of the sweep."""

    chunk_bytes: int
    streams: int
    http2: bool = False

    @property
    def connections(self) -> Mapping[Way, int]:
        """Each way; HTTP/2 has all streams in one."""
        return _ONE if self.http2 else dict.fromkeys(WAYS, self.streams)

    @property
    def name(self) -> str:
        """`10 x 5 MiB`, streams first."""
        http = ", HTTP/2" if self.http2 else ""
        return f"{self.streams} x {self.chunk_bytes // MIB} MiB{http}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One link, what is moved over it, and the settings that are tried; `tls`: over HTTPS, where
    the server offers HTTP/2."""

    link: LinkSettings
    size_bytes: int
    settings: tuple[Setting, ...]
    tls: bool = False

    @property
    def name(self) -> str:
        """That of the link."""
        return grid.name_of(self.link) + (", TLS" if self.tls else "")

    @property
    def machine_id(self) -> str:
        """What the link's results are stored under, as if it were a node of a fleet."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")

    @property
    def declared(self) -> Setting:
        """As many streams as declared; of chunks of 5 MiB where the file has too few of 10 MiB."""
        return _declared(self.size_bytes)

    def key(self, blocks: int, seed: int) -> Mapping[str, Any]:
        """What tells a result of this case from that of another; plain data."""
        return {**asdict(self), "settings": [asdict(one) for one in self.settings],
                "blocks": blocks, "seed": seed}  # fmt: skip

    def block_s(self) -> float:
        """About how long every setting once takes; over HTTPS the published commands take one
        connection, too."""
        published = _ONE if self.tls else PUBLISHED_STREAMS
        return _A_RUN_S + sum(
            _AROUND_S + grid.expected_s(self.link, way, one[way], self.size_bytes)
            for one in (published, *(setting.connections for setting in self.settings))
            for way in WAYS
        )


def short() -> list[Case]:
    """Two fast links, 64 MiB, few settings."""
    return [_small(grid.make(rtt_ms, (300, 300), 0.0)) for rtt_ms in (10, 150)]


def chosen(*, wide: bool = False) -> list[Case]:
    """The published fleet's mean rates at every distance, in the middle ones with every queue, and
    one link each for what else matters: packets that are lost, HTTP/2."""
    links = [
        *(grid.make(rtt_ms, FLEET_MBPS, 0.0, queue_rtts=1.0) for rtt_ms in grid.RTTS_MS),
        *(
            grid.make(rtt_ms, FLEET_MBPS, loss, queue_rtts=queue_rtts)
            for rtt_ms, loss, queue_rtts in _OTHERS
        ),
    ]
    with_tls = with_http2(grid.make(80, FLEET_MBPS, 0.0, queue_rtts=1.0))
    return [*(make(link, wide=wide) for link in links), with_tls]


def whole_grid(*, wide: bool = False) -> list[Case]:
    """Every link of the grid with cubic and with BBR; HTTP/2 at every distance, and with loss at
    the near ones."""
    return [
        *(
            make(link, wide=wide)
            for name in ("cubic", "bbr")
            for link in grid.links(congestion=name)
        ),
        *(
            with_http2(link)
            for link in grid.links(rates_mbps=[FLEET_MBPS])
            if not link.loss or link.rtt_s <= _MOST_LOSSY_TLS_S
        ),
    ]


def make(link: LinkSettings, *, wide: bool = False) -> Case:
    """A link with the sweep that its file has enough chunks for.

    One stream is left out where it would take too long: the published download has that already.
    """
    size_bytes = _size_bytes(link)
    streams = (1, 2, 4, 8, 16, 32) if wide else (1, 4)
    slow = _published_s(link, size_bytes) > _MOST_PUBLISHED_S
    settings = _sweep(size_bytes, streams[1:] if slow else streams, wide=wide)
    return Case(link=link, size_bytes=size_bytes, settings=settings)


def with_http2(link: LinkSettings) -> Case:
    """A link over HTTPS, each setting with HTTP/1.1 and with HTTP/2."""
    size_bytes = _size_bytes(link)
    chunk_bytes = _declared(size_bytes).chunk_bytes
    settings = tuple(
        Setting(chunk_bytes=chunk_bytes, streams=streams, http2=http2)
        for streams in (4, DECLARED_STREAMS)
        for http2 in (False, True)
    )
    return Case(link=link, size_bytes=size_bytes, settings=settings, tls=True)


def _small(link: LinkSettings) -> Case:
    size_bytes = 64 * MIB
    settings = (Setting(chunk_bytes=5 * MIB, streams=2), _declared(size_bytes))
    return Case(link=link, size_bytes=size_bytes, settings=settings)


def _size_bytes(link: LinkSettings) -> int:
    """The published 200 MiB where both ways are fast, a quarter where its one stream is slow."""
    half_bytes = PUBLISHED_BYTES // 2
    if _published_s(link, half_bytes) > _MOST_PUBLISHED_S or link.down_mbps < 100:
        return PUBLISHED_BYTES // 4
    return PUBLISHED_BYTES if min(link.up_mbps, link.down_mbps) >= 300 else half_bytes


def _published_s(link: LinkSettings, size_bytes: int) -> float:
    return grid.expected_s(link, "down", PUBLISHED_STREAMS["down"], size_bytes)


def _declared(size_bytes: int) -> Setting:
    enough = size_bytes >= DECLARED_STREAMS * DECLARED_BYTES
    chunk_bytes = DECLARED_BYTES if enough else DECLARED_BYTES // 2
    return Setting(chunk_bytes=chunk_bytes, streams=DECLARED_STREAMS)


def _sweep(size_bytes: int, streams: tuple[int, ...], *, wide: bool) -> tuple[Setting, ...]:
    """Each number of streams with chunks of 10 MiB, of 5 where there are too few of 10 (`wide`:
    with all of 5, 10 and 25 that there are enough of), and the declared setting."""
    settings = [_declared(size_bytes)]
    for count in streams:
        fitting = [mib for mib in (10, 5, 25) if count * mib * MIB <= size_bytes]
        for mib in fitting if wide else fitting[:1]:
            settings.append(Setting(chunk_bytes=mib * MIB, streams=count))
    return _without_repeats(settings)


def _without_repeats(settings: list[Setting]) -> tuple[Setting, ...]:
    """One stream is tried with one size of chunks: a download by one has none."""
    kept: dict[tuple[int, int], Setting] = {}
    for one in settings:
        chunk_bytes = 0 if one.streams == 1 else one.chunk_bytes
        kept.setdefault((one.streams, chunk_bytes), one)
    return tuple(kept.values())
