"""What a tool was told, what the proxy saw of it and what its own log says, compared. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hps.catalog.tools import count_chunks
from hps.model import Direction, Knobs, Settings, Transfer
from hps.prove.recorder import SeenRequest, connections, peak_in_flight
from hps.tools.base import Evidence, Scheme
from hps.units import format_size

_VERSION = "HTTP/1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One call that a tool is proved by: over which scheme, which way, and as what it is told."""

    scheme: Scheme
    way: Direction
    knobs: Knobs
    asked: Settings
    planned: Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class OnTheWire:
    """The requests with payload that the proxy saw; `refused_http2`: the tool wanted HTTP/2."""

    requests: tuple[SeenRequest, ...] = ()
    refused_http2: bool = False

    @property
    def sizes_bytes(self) -> tuple[int, ...]:
        return tuple(request.body_bytes for request in self.requests)

    @property
    def at_once(self) -> int:
        return peak_in_flight(self.requests)

    @property
    def connections(self) -> int:
        return connections(self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a trial ended. `wrong` has what does not agree; without any it holds.

    `said` is None where the tool came to no good end.
    """

    trial: Trial
    wire: OnTheWire
    said: Evidence | None
    wrong: tuple[str, ...]


def compare(trial: Trial, wire: OnTheWire, said: Evidence) -> TrialResult:
    """Compare what was planned, what went over the wire, and what the tool says."""
    wrong = (*_wrong_on_the_wire(trial, wire), *_wrong_in_its_words(trial, wire, said))
    return TrialResult(trial=trial, wire=wire, said=said, wrong=wrong)


def chunks_text(sizes_bytes: Sequence[int]) -> str:
    """`4 x 6MiB + 2MiB`, or all sizes where they are less alike."""
    if not sizes_bytes:
        return "nothing"
    counts = {size: sizes_bytes.count(size) for size in sorted(set(sizes_bytes), reverse=True)}
    sizes = ((format_size(size), count) for size, count in counts.items())
    each = (f"{count} x {size}" if count > 1 else size for size, count in sizes)
    return " + ".join(each)


# --- the tool and the wire -----------------------------------------------------------------------


def _wrong_on_the_wire(trial: Trial, wire: OnTheWire) -> Iterator[str]:
    planned, expected = trial.planned, _expected(trial)
    if wire.refused_http2:
        yield "it offered HTTP/2 and was told not to"
    wanted = tuple(last - first + 1 for first, last in expected)
    if sorted(wire.sizes_bytes) != sorted(wanted):
        yield f"{chunks_text(wire.sizes_bytes)} on the wire, not {chunks_text(wanted)}"
    elif trial.way == "down" and sorted(_ranges(trial, wire)) != expected:
        yield "other ranges than those of the chunks were asked for"
    if wire.requests and wire.at_once != planned.concurrency:
        yield f"{wire.at_once} in flight at once on the wire, not {planned.concurrency}"
    versions = {request.version for request in wire.requests} - {_VERSION}
    if versions:
        yield f"{', '.join(sorted(versions))} on the wire, not {_VERSION}"


def _expected(trial: Trial) -> list[tuple[int, int]]:
    """The first and last byte of each chunk."""
    size, chunk = trial.knobs.size_bytes, trial.planned.chunk_size_bytes
    starts = (number * chunk for number in range(count_chunks(size, chunk)))
    return [(start, min(start + chunk, size) - 1) for start in starts]


def _ranges(trial: Trial, wire: OnTheWire) -> Iterator[tuple[int, int]]:
    """Those asked for: what lies beyond a file's end is not there."""
    end = trial.knobs.size_bytes - 1
    for request in wire.requests:
        first, last = request.range or (0, None)
        yield first, end if last is None else min(last, end)


# --- its own words -------------------------------------------------------------------------------


def _wrong_in_its_words(trial: Trial, wire: OnTheWire, said: Evidence) -> Iterator[str]:
    planned, seen, applied = trial.planned, said.observed, said.effective
    if said.wrong is not None:
        yield f"hps reads: {said.wrong.reason}"
    if applied is None:
        yield "hps reads no transfer from what it says"
        return
    told: tuple[tuple[str, object, frozenset[object]], ...] = (
        ("effective chunk", applied.chunk_size_bytes, frozenset({planned.chunk_size_bytes})),
        ("effective concurrency", applied.concurrency, frozenset({planned.concurrency, None})),
        ("chunks", seen.chunks, frozenset({len(wire.requests), None})),
        ("chunk size", seen.chunk_size_bytes, frozenset({planned.chunk_size_bytes, None})),
        ("bytes", seen.bytes, frozenset({sum(wire.sizes_bytes), None})),
        ("retries", said.retries, frozenset({0, None})),
    )
    for name, value, right in told:
        if value not in right:
            known = ", ".join(str(one) for one in right if one is not None)
            yield f"hps reads {name} {value}, the wire has {known}"
    for name, value, most in (
        ("in flight at once", seen.peak_in_flight, wire.at_once),
        ("connections", seen.connections, wire.connections),
    ):
        if value is not None and value > most:
            yield f"hps reads {value} {name}, the wire has {most}"
