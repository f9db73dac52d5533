"""Why operations and runs came to nothing, by code and by whose fault it is. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Operations that were not ok for the same reason: its code, whose fault it is, how many."""

    code: str
    owner: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverBegan:
    """Runs that did not begin, for one reason; no verdict is held against their nodes.

    `code` and `owner` are empty where an older version stored them; `text` is what the newest says.
    """

    code: str
    owner: str
    runs: int
    nodes: int
    text: str


def summed(found: Iterable[Reason]) -> tuple[Reason, ...]:
    """Each reason once, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in found:
        counts[one.code, one.owner] += one.count
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(code=code, owner=owner, count=count) for (code, owner), count in most)


def fault(code: str, owner: str) -> str:
    """`throttled (target)`: what went wrong, and whose fault it is."""
    return f"{code} ({owner})" if owner else code
