"""The cells that one node of a fleet measures: those that the fewest others do. Pure.

Where everybody takes the least covered ones, each cell is measured by as many nodes as any other,
and what a node leaves undone is taken by the next. Nobody has to agree with anybody for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random

from hps.model import Plan

ALL = "all"
# A share is part of an object's name, which may have 1,024 bytes.
MOST_CELLS = 100
# Of one block of a node that measures for some time: what it announces, it is to finish.
MOST_OF_A_BLOCK = 4


def least_covered(
    covered: Sequence[int], most: int, chance: Random, taken: Collection[int] = ()
) -> tuple[int, ...]:
    """The numbers of at most so many cells that the fewest nodes measure; ties by chance.

    `covered` says of each cell how many do. Those that are `taken` are left out.
    """
    by_chance = list(range(len(covered)))
    chance.shuffle(by_chance)
    free = [number for number in by_chance if number not in taken]
    return tuple(sorted(sorted(free, key=covered.__getitem__)[:most]))


def by_hash(cells: int, most: int, node: str, taken: Collection[int] = ()) -> tuple[int, ...]:
    """As many cells, always the same for one node: where it is not known what others measure."""

    def place(number: int) -> bytes:
        return hashlib.sha256(f"{node}|{number}".encode()).digest()

    free = [number for number in range(cells) if number not in taken]
    return tuple(sorted(sorted(free, key=place)[:most]))


def block_size(cells: int, spent_s: float, for_s: float) -> int:
    """How many cells a node takes next that has measured so many, and measures for `for_s`.

    At most half of what fits into the rest, by how long its cells have taken: they may come to
    differ. None where not even one fits. The first is alone, since nothing is known by then.
    """
    if cells == 0:
        return 1
    fits = (for_s - spent_s) * cells / max(spent_s, 1e-9)
    return 0 if fits < 1 else int(min(MOST_OF_A_BLOCK, max(1, fits / 2)))


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


def cell_numbers(plan: Plan) -> dict[str, int]:
    """The numbers of a plan's cells, by what `cell_name` calls them."""
    return {cell_name(cell.axes): number for number, cell in enumerate(plan.cells)}


def cell_name(axes: object) -> str:
    """A cell's axes, as a plan or a stored result has them, in one text."""
    return json.dumps(dict(axes) if isinstance(axes, Mapping) else axes, sort_keys=True)
