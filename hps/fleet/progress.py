"""How many operations a fleet has done, how fast, and what went wrong with them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from hps.fleet.journals import JournalFacts, OperationEnd

# A rate is over so long, or since the fleet has begun.
WINDOW_S = 600.0
LEAST_WINDOW_S = 30.0
_FAILED = {"failed", "invalid", "timeout"}
MOST_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgress:
    """How many operations of its share a node has done; None where that is not known."""

    planned: int
    done: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProgress:
    """The operations of the nodes that are done or at work; `planned` has those still wanted, too.

    `is_estimate`: by the sizes of journals. Rates are over `window_s`. `left_s` is None where it
    can't be told, and `why_not_left` then says why.
    """

    done: int | None
    planned: int
    is_estimate: bool
    per_min: float | None
    bytes_per_min: float | None
    window_s: float
    left_s: float | None
    why_not_left: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFailure:
    """Operations, or runs that did not begin, that went wrong alike; `reason` is the newest."""

    code: str
    nodes: int
    operations: int
    reason: str
    at: datetime | None
    began: bool


def count_done(facts: Iterable[JournalFacts]) -> int:
    """How many operations of one node have come to an end, in all its runs."""
    ends = ((name, end) for one in facts for name, end in one.operations.items())
    return len({name for name, end in ends if end.status != "interrupted"})


def estimate_done(
    sizes: Mapping[str, int], planned: Mapping[str, int], done: set[str]
) -> dict[str, int]:
    """How many operations each node has done, by the bytes of its journals; empty: not known.

    By what those that are `done` have stored for each operation that they had planned.
    """
    known = [sizes[name] / planned[name] for name in done if sizes.get(name) and planned.get(name)]
    if not known:
        return {}
    line_bytes = median(known)
    return {
        name: count if name in done else min(count, int(sizes.get(name, 0) / line_bytes))
        for name, count in planned.items()
    }


def rates(
    facts: Iterable[JournalFacts], began_at: datetime | None, now: datetime
) -> tuple[float | None, float | None, float]:
    """Operations and bytes a minute of late, and over how many seconds that is."""
    since_s = WINDOW_S if began_at is None else (now - began_at).total_seconds()
    window_s = min(WINDOW_S, since_s)
    if window_s < LEAST_WINDOW_S:
        return None, None, window_s
    first = now - timedelta(seconds=window_s)
    ends = [
        end
        for one in facts
        for end in one.operations.values()
        if end.at is not None and end.at > first and end.status != "interrupted"
    ]
    moved = sum(end.size_bytes for end in ends if end.status == "ok")
    return len(ends) * 60 / window_s, moved * 60 / window_s, window_s


def time_to_end(
    nodes: Sequence[NodeProgress], needed: int | None, per_min: float | None
) -> tuple[float | None, str]:
    """Seconds until so many of the nodes at work are done (None: all), at the fleet's rate.

    Returns None and why where that can't be told.
    """
    if not nodes:
        return None, "no node is at work"
    lacking = [node.planned - node.done for node in nodes if node.done is not None]
    if needed is not None and needed > len(nodes):
        more = needed - len(nodes)
        who = "node has" if more == 1 else "nodes have"
        return None, f"{more:,} more {who} yet to begin"
    if len(lacking) < len(nodes):
        return None, "how far the nodes are is not known"
    if not per_min:
        return None, "nothing was done of late"
    counted = sorted(max(0, one) for one in lacking)[:needed]
    # Those that are nearest to their end have their part of the rate.
    return sum(counted) / (per_min * len(counted) / len(nodes)) * 60 if counted else 0.0, ""


def find_failures(facts: Iterable[JournalFacts]) -> tuple[FleetFailure, ...]:
    """What went wrong, alike by its code, the newest first."""
    found: dict[tuple[bool, str], list[tuple[str, OperationEnd]]] = {}
    for one in facts:
        ends = [(True, end) for end in one.operations.values() if end.status in _FAILED]
        for began, end in [*ends, *([(False, one.why)] if one.why else [])]:
            found.setdefault((began, end.code or end.status), []).append((one.machine_id, end))
    failures = [_failure(code, began, ends) for (began, code), ends in found.items()]
    return tuple(sorted(failures, key=_newest_first))


def _failure(code: str, began: bool, ends: Sequence[tuple[str, OperationEnd]]) -> FleetFailure:
    newest = max((end for _, end in ends), key=lambda end: (end.at is not None, _when(end.at)))
    return FleetFailure(
        code=code,
        nodes=len({machine for machine, _ in ends}),
        operations=len(ends),
        reason=newest.reason,
        at=newest.at,
        began=began,
    )


def _newest_first(failure: FleetFailure) -> tuple[float, str]:
    return -_when(failure.at), failure.code


def _when(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
