"""What a result line says against what was seen of the operation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.truth.seen import Seen

TOLERANCE = 0.02
PROBE_TOLERANCE = 0.05
RTT_TOLERANCE = 0.05
_RTT_LEAST_S = 0.001
# Between rclone's word that it starts a chunk and the chunk's first byte it hashes this chunk,
# and all others that are in flight: so fast at least, even where processors are few.
HASHED_BYTES_PER_S = 200e6
# Heads of requests, and what TCP sent twice without need.
_LINK_TOLERANCE, _LINK_MORE_BYTES = 0.02, 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number, as reported and as seen: it has to lie from `low` to `high`."""

    what: str
    reported: float | None
    seen: float
    low: float
    high: float

    @property
    def good(self) -> bool:
        """True where what was reported is the truth, or near enough."""
        return self.reported is not None and self.low <= self.reported <= self.high

    @property
    def difference(self) -> float | None:
        """Reported over seen, less 1."""
        return self.reported / self.seen - 1 if self.reported is not None and self.seen else None

    def text(self) -> str:
        """`connections: 7 reported, 8 seen`."""
        reported = "nothing" if self.reported is None else f"{self.reported:.7g}"
        return f"{self.what}: {reported} reported, {self.seen:.7g} seen"


def checks(record: Mapping[str, Any], seen: Seen) -> tuple[Check, ...]:
    """Everything that a result line of an upload or a download says of its transfer."""
    return (*_equal(record, seen), *_near(record, seen), _carried(record, seen))


def probe_checks(
    probe: Mapping[str, Any], carried_mbps: Mapping[str, float | None], rtt_s: float
) -> tuple[Check, ...]:
    """The probe of a run line: rates against what the link carried meanwhile (`up`, `down`)."""
    return (
        _within("up", probe["upload_mbps"]["value"], carried_mbps["up"] or 0.0, PROBE_TOLERANCE),
        _within(
            "down", probe["download_mbps"]["value"], carried_mbps["down"] or 0.0, PROBE_TOLERANCE
        ),
        _round_trip(probe["rtt"]["median_s"], rtt_s),
    )


def payload_mbps(record: Mapping[str, Any]) -> float | None:
    """What a result line comes to without the time before the first payload."""
    if record["setup_s"] is None or record["duration_s"] <= record["setup_s"]:
        return None
    return float(record["size_bytes"] * 8 / 1e6 / (record["duration_s"] - record["setup_s"]))


def _equal(record: Mapping[str, Any], seen: Seen) -> Iterator[Check]:
    observed, effective = record["observed"], record["effective"] or {}
    yield _exactly("ok", int(record["status"] == "ok"), 1)
    yield _exactly("bytes", record["size_bytes"], seen.bytes)
    yield _exactly("chunks", observed["chunks"], len(seen.chunk_sizes))
    yield _exactly("chunk size", observed["chunk_size_bytes"], seen.chunk_bytes)
    yield _exactly("effective chunk size", effective.get("chunk_size_bytes"), seen.chunk_bytes)
    yield _exactly("in flight", observed["peak_in_flight"], seen.peak_in_flight)
    if effective.get("concurrency") is not None:  # an upload that is too quick does not tell
        yield _exactly("effective concurrency", effective["concurrency"], seen.peak_in_flight)
    yield _exactly("connections", observed["connections"], seen.connections)
    yield _exactly("retries", record["retries"], seen.repeats)


def _near(record: Mapping[str, Any], seen: Seen) -> Iterator[Check]:
    megabits = seen.bytes * 8 / 1e6
    yield _within("duration", record["duration_s"], seen.duration_s, TOLERANCE)
    yield _within("Mbps", record["throughput_mbps"], megabits / seen.duration_s, TOLERANCE)
    yield Check(
        what="payload Mbps",
        reported=payload_mbps(record),
        seen=megabits / seen.payload_s,
        low=megabits / (seen.payload_s * (1 + TOLERANCE) + _hashing_s(record, seen)),
        high=megabits / seen.payload_s * (1 + TOLERANCE),
    )
    wire_mbps = megabits / seen.wire_s
    yield Check(
        what="no faster than the link carried it",
        reported=payload_mbps(record),
        seen=wire_mbps,
        low=0,
        high=wire_mbps * (1 + TOLERANCE),
    )


def _hashing_s(record: Mapping[str, Any], seen: Seen) -> float:
    if record["step"] != "upload":
        return 0.0
    return seen.peak_in_flight * seen.chunk_bytes / HASHED_BYTES_PER_S


def _carried(record: Mapping[str, Any], seen: Seen) -> Check:
    """All payload went over the link, and little else in this direction."""
    return Check(
        what="bytes on the link",
        reported=record["size_bytes"],
        seen=seen.link_bytes,
        low=(seen.link_bytes - _LINK_MORE_BYTES) / (1 + _LINK_TOLERANCE),
        high=seen.link_bytes,
    )


def _exactly(what: str, reported: float | None, seen: float) -> Check:
    return Check(what=what, reported=reported, seen=seen, low=seen, high=seen)


def _within(what: str, reported: float | None, seen: float, tolerance: float) -> Check:
    low, high = seen * (1 - tolerance), seen * (1 + tolerance)
    return Check(what=what, reported=reported, seen=seen, low=low, high=high)


def _round_trip(reported_s: float | None, rtt_s: float) -> Check:
    """A link of next to no round trip is judged by the millisecond."""
    off_s = max(RTT_TOLERANCE * rtt_s, _RTT_LEAST_S)
    return Check(what="rtt", reported=reported_s, seen=rtt_s, low=rtt_s - off_s, high=rtt_s + off_s)
