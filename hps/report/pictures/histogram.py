"""How often values fall where: counts in equal bins, and a smooth curve through them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hps.compare.comparison import Floats

MOST_BINS = 100
CURVE_POINTS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts in bins of `width` from `start` on; `beyond` counts the values above the last bin.

    Each bin holds its lower edge and not its upper one.
    """

    width: float
    start: float
    counts: NDArray[np.int64]
    beyond: int = 0

    @property
    def end(self) -> float:
        """The upper edge of the last bin."""
        return self.start + self.width * len(self.counts)

    def not_drawn(self, unit: str = "") -> str:
        """` 3 above 2,000 Mbps not drawn.`; empty where all values are in the bins."""
        above = f"{self.end:,.0f} {unit}".strip()
        return f" {self.beyond:,} above {above} not drawn." if self.beyond else ""


def bin_width(values: Floats, width: float) -> float:
    """`width`, or the least round multiple of it with which 99 % of the values fit the bins."""
    top = float(np.quantile(values, 0.99)) if len(values) else 0.0
    return next(scale * width for scale in _scales() if top <= scale * width * MOST_BINS)


def count(values: Floats, width: float, bins: int | None = None) -> Histogram:
    """Count non-negative values in bins from 0; `bins` None: as many as it takes, at most 100."""
    last = int(values.max() // width) + 1 if len(values) else 1
    number = min(last, MOST_BINS) if bins is None else bins
    places = (values // width).astype(np.int64)
    inside = places[places < number]
    return Histogram(
        width=width,
        start=0.0,
        counts=np.bincount(inside, minlength=number).astype(np.int64),
        beyond=int(len(places) - len(inside)),
    )


def curve(values: Floats, histogram: Histogram) -> tuple[Floats, Floats] | None:
    """A Gaussian kernel density over the bins, scaled to counts: x and y, each of shape (points,).

    None where fewer than three values, or values that are all but alike, give nothing to smooth.
    """
    if len(values) < 3 or np.ptp(values) <= 1e-6 * histogram.width:
        return None
    low, high = float(values.min()), min(float(values.max()), histogram.end)
    x = np.linspace(low, high, CURVE_POINTS)
    return x, stats.gaussian_kde(values)(x) * len(values) * histogram.width


def _scales() -> Iterator[int]:
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10
