"""What was seen of one operation: from requests, counters and processes to numbers. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.grid import HEAD_BYTES
from bench.link.settings import Way
from bench.truth.watch import Life, Look
from hps.node.bandwidth import INTERVAL_S, SteadyRate
from tests.servers.proxy import Request, connections, data_requests, peak_in_flight

# The link's share of an operation ends with its payload: what follows, the request that completes
# an upload above all, is smaller than this.
_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One operation, seen from outside.

    `chunk_sizes` are the bytes of the parts or ranges in the file's order. `duration_s` is the life
    of the tool's process; `payload_s` the part of it from when the first request with payload
    set out. `wire_s` runs from there to when the link had delivered all payload but 16 KiB.
    `link_bytes` is what TCP carried over the link in this direction: payload, the heads of requests
    and what was sent twice. `premature_share` is how much of this the link had delivered when the
    tool's own statistics first said that all had moved; None where they never did.
    """

    bytes: int
    chunk_sizes: tuple[int, ...]
    peak_in_flight: int
    connections: int
    repeats: int
    duration_s: float
    payload_s: float
    wire_s: float
    link_bytes: int
    premature_share: float | None = None

    @property
    def chunk_bytes(self) -> int:
        """The size of every chunk but the last; 0 where they differ."""
        sizes = set(self.chunk_sizes[:-1]) or set(self.chunk_sizes)
        return sizes.pop() if len(sizes) == 1 else 0


def see(
    trial_id: str,
    way: Way,
    *,
    requests: Sequence[Request],
    looks: Sequence[Look],
    lives: Sequence[Life],
    one_way_s: float,
) -> Seen | None:
    """The operation of a trial in this direction; None where nothing of it was seen.

    The proxy is `one_way_s` away from the node.
    """
    life = _life(lives, trial_id, way)
    mine = [request for request in requests if f"/{trial_id}/" in request.key]
    data = sorted(data_requests(mine, way), key=_place)
    if life is None or not data:
        return None
    begin_s = min(request.started_s for request in data) - one_way_s
    carried = _Carried(looks, way, life)
    return Seen(
        bytes=sum(request.body_bytes for request in data),
        chunk_sizes=tuple(request.body_bytes for request in data),
        peak_in_flight=peak_in_flight(data),
        connections=connections(data),
        repeats=len(data) - len({_place(request) for request in data}),
        duration_s=life.end_s - life.start_s,
        payload_s=life.end_s - begin_s,
        wire_s=carried.all_but(_TAIL_BYTES) - begin_s,
        link_bytes=carried.total_bytes,
        premature_share=_premature_share(life, carried, sum(r.body_bytes for r in data)),
    )


class _Carried:
    """The bytes of TCP that the link delivered one way while a process lived."""

    def __init__(self, looks: Sequence[Look], way: Way, life: Life) -> None:
        before = [look for look in looks if look.t_s <= life.start_s][-1:]
        during = [look for look in looks if life.start_s < look.t_s <= life.end_s]
        after = [look for look in looks if look.t_s > life.end_s][:1]
        chosen = [*before, *during, *after]
        self._times_s = [look.t_s for look in chosen]
        absolute = [_tcp_bytes(look, way) for look in chosen]
        self._bytes = [count - absolute[0] for count in absolute]
        self.total_bytes = self._bytes[-1] if chosen else 0

    def all_but(self, rest_bytes: int) -> float:
        """When all but so many bytes had been delivered."""
        wanted = self.total_bytes - rest_bytes
        pairs = zip(self._times_s, self._bytes, strict=True)
        return next((t_s for t_s, count in pairs if count >= wanted), 0.0)

    def by(self, t_s: float) -> int:
        """How many bytes had been delivered by then."""
        place = bisect_right(self._times_s, t_s) - 1
        return self._bytes[place] if place >= 0 else 0


def _tcp_bytes(look: Look, way: Way) -> int:
    if way == "up":
        return look.up_bytes - HEAD_BYTES * look.up_packets
    return look.down_bytes - HEAD_BYTES * look.down_packets


def _life(lives: Sequence[Life], trial_id: str, way: Way) -> Life | None:
    """The tool's process: it is given source and destination, and the remote has the trial's id."""
    place = 1 if way == "up" else 0
    for life in lives:
        verb = next((n for n, word in enumerate(life.argv) if word in {"copy", "copyto"}), None)
        if verb is not None and _is_remote(life.argv[verb + 1 + place], trial_id):
            return life
    return None


def _probes(life: Life, way: Way) -> bool:
    """The probe reads with `hashsum`, and sends many files to a folder `sent`."""
    if way == "down":
        return "hashsum" in life.argv
    return "copy" in life.argv and any("/probe/sent" in word for word in life.argv)


def _is_remote(path: str, trial_id: str) -> bool:
    return not path.startswith("/") and f"/{trial_id}/" in path


def _place(request: Request) -> int:
    """Where in the file its bytes are: by part, or by first byte."""
    return request.part_number or (request.range[0] if request.range else 0)


def _premature_share(life: Life, carried: _Carried, size_bytes: int) -> float | None:
    done_s = next((at_s for at_s, moved in life.progress if moved >= size_bytes), None)
    if done_s is None or not carried.total_bytes:
        return None
    return carried.by(done_s) / carried.total_bytes


def see_probe(
    points: Sequence[tuple[float, int]],
    way: Way,
    *,
    looks: Sequence[Look],
    lives: Sequence[Life],
) -> float | None:
    """Mbps of TCP that the link delivered while the probe's `points` were counted.

    Of these only the choice of what counts is taken, not how much moved. The last one was taken an
    interval before the probe ended its process. None where nothing was seen.
    """
    life = next((life for life in lives if _probes(life, way)), None)
    if life is None or not points:
        return None
    rate = SteadyRate()
    for t_s, count in points:
        rate.feed(t_s, count)
    to_s = life.end_s - INTERVAL_S
    from_s = to_s - (points[-1][0] - rate.counted_from.t_s)
    carried = _Carried(looks, way, life)
    moved_bytes = carried.by(to_s) - carried.by(from_s)
    return moved_bytes * 8 / 1e6 / (to_s - from_s) if to_s > from_s else None


def from_data(data: dict[str, Any]) -> Seen:
    """As it was stored with `dataclasses.asdict`."""
    return Seen(**{**data, "chunk_sizes": tuple(data["chunk_sizes"])})
