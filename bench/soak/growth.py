"""Looks at a run -> how each thing grows, and whether it does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean

from scipy import stats

from bench.soak.look import DAEMON, FILES, PRIVATE, RESIDENT, SERVER, SIZE, Name
from bench.soak.run import Sample

QUARTERS = 4
PER = 1000
_LEVEL = 0.95
_MOST_BLOCKS = 15
_FEWEST_BLOCKS = 3
# What is allowed with so many operations: 2 KiB each, less than a result has in the journal; and a
# file, a thread or a process in all.
_ALLOWED: Mapping[str, float] = {PRIVATE: 2.0, RESIDENT: 2.0, SIZE: 2.0}
_ALLOWED_ELSE = 1.0
# One file, or what an allocator takes at once: in a short run such a step looks like a steep slope.
_STEP = 1.0
# Programs of Go's take thousands of operations until they have all the memory and threads that they
# will use: the server's memory rose by 4 MiB per 1,000 of the first 4,000, and no more after that.
_OF_GO, _SETTLE_AFTER = frozenset({DAEMON, SERVER}), 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One thing: its mean in each quarter of the run, and its growth per 1,000 operations.

    The growth is the slope in the second half of the run: in the first, programs take what they
    will keep. `low` and `high` bound it at the level of 95 %. `operations`: what that half is long.
    `judged`: the run was long enough.
    """

    name: Name
    quarters: tuple[float, ...]
    slope: float
    low: float
    high: float
    operations: int
    judged: bool

    @property
    def grows(self) -> bool:
        """True where even the least growth that fits is more than is allowed, and than one step."""
        allowed = _ALLOWED.get(self.name[1], _ALLOWED_ELSE)
        return self.judged and self.low > allowed and self.low * self.operations / PER > _STEP


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """One for each thing that was looked at. Raises `ValueError` for too few looks."""
    if len(samples) < QUARTERS * _FEWEST_BLOCKS:
        raise ValueError(f"{len(samples)} looks are too few")
    return [_growth(name, samples) for name in samples[0].seen]


def _growth(name: Name, samples: Sequence[Sample]) -> Growth:
    points = [(sample.operations, sample.seen[name]) for sample in samples]
    quarters = _parts(points, QUARTERS)
    slope, low, high = _slope([point for quarter in quarters[QUARTERS // 2 :] for point in quarter])
    return Growth(
        name=name,
        quarters=tuple(fmean(value for _, value in quarter) for quarter in quarters),
        slope=PER * slope,
        low=PER * low,
        high=PER * high,
        operations=samples[-1].operations - samples[len(samples) // 2].operations,
        judged=_is_judged(name, samples[-1].operations),
    )


def _is_judged(name: Name, operations: int) -> bool:
    who, what = name
    return operations >= _SETTLE_AFTER or who not in _OF_GO or what == FILES


def _slope(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """By least squares through the means of blocks: looks that follow each other are alike."""
    blocks = _parts(points, min(_MOST_BLOCKS, len(points)))
    x = [fmean(at for at, _ in block) for block in blocks]
    y = [fmean(value for _, value in block) for block in blocks]
    middle = fmean(x)
    spread = sum((at - middle) ** 2 for at in x)
    slope = sum((at - middle) * value for at, value in zip(x, y, strict=True)) / spread
    rest = sum(
        (value - fmean(y) - slope * (at - middle)) ** 2 for at, value in zip(x, y, strict=True)
    )
    free = len(blocks) - 2
    half = float(stats.t.ppf((1 + _LEVEL) / 2, free)) * sqrt(rest / free / spread)
    return slope, slope - half, slope + half


def _parts(
    points: Sequence[tuple[float, float]], count: int
) -> list[Sequence[tuple[float, float]]]:
    """So many stretches of about the same length."""
    ends = [len(points) * number // count for number in range(count + 1)]
    return [points[start:end] for start, end in pairwise(ends)]
