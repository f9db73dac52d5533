"""The cells that one node of a fleet measures: those that the fewest others do. Pure.

Where everybody takes the least covered ones, each cell is measured by as many nodes as any other,
and what a node leaves undone is taken by the next. Nobody has to agree with anybody for that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from random import Random

ALL = "all"
# A share is part of an object's name, which may have 1,024 bytes.
MOST_CELLS = 100


def least_covered(covered: Sequence[int], most: int, chance: Random) -> tuple[int, ...]:
    """The numbers of at most so many cells that the fewest nodes measure; ties by chance.

    `covered` says of each cell how many do.
    """
    by_chance = list(range(len(covered)))
    chance.shuffle(by_chance)
    return tuple(sorted(sorted(by_chance, key=covered.__getitem__)[:most]))


def by_hash(cells: int, most: int, node: str) -> tuple[int, ...]:
    """As many cells, always the same for one node: where it is not known what others measure."""

    def place(number: int) -> bytes:
        return hashlib.sha256(f"{node}|{number}".encode()).digest()

    return tuple(sorted(sorted(range(cells), key=place)[:most]))


def as_text(share: Sequence[int], cells: int) -> str:
    """A share as it stands in an object's name: `0.1f.2a`, in hexadecimal, or `all`."""
    return ALL if len(share) == cells else ".".join(f"{number:x}" for number in share)


def from_text(text: str, cells: int) -> tuple[int, ...] | None:
    """The share of a name that anybody may have written; None where it is none."""
    if text == ALL:
        return tuple(range(cells))
    try:
        share = tuple(int(part, 16) for part in text.split("."))
    except ValueError:
        return None
    known = set(share) <= set(range(cells)) and len(share) <= MOST_CELLS
    return share if known and as_text(sorted(set(share)), cells) == text else None


def count(shares: Iterable[Iterable[int]], cells: int) -> list[int]:
    """How many of these shares have each cell."""
    covered = [0] * cells
    for share in shares:
        for number in share:
            covered[number] += 1
    return covered
