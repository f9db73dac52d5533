"""Intervals that hold the truth at least as often as they say, and quantiles. Pure.

All of them are at the level `1 - rule.alpha`, and the same input gives the same answer.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, exp, sqrt

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import special, stats

from hps.analyze.comparison import Floats, Interval, Rule

Indices = NDArray[np.int64]
_RESAMPLES = 9999


def median_interval(values: Floats, rule: Rule) -> Interval | None:
    """An interval of the median of what `values`, shape (n,), were drawn from; NaNs are left out.

    It runs from one order statistic to another, chosen by the binomial distribution, and so
    covers at least at its level whatever the distribution. None where even from the least to the
    greatest does not: `2 * 0.5**n > rule.alpha`, that is below 6 values at 95 %.

    As n grows it becomes the percentile interval of a bootstrap, which is not used for it falls
    short where fleets are small: on simulated fleets (normal, lognormal, exponential, of two
    kinds) it covered 91 to 94 % for 6 to 12 values and 93 to 94 % for 20, BCa the same, where
    this one covers 96 to 97 % (99 % for 8, where no other pair of ranks reaches 95 %).
    """
    kept = np.sort(values[~np.isnan(values)])
    rank = median_rank(len(kept), rule.alpha)
    if rank == 0:
        return None
    return Interval(low=float(kept[rank - 1]), high=float(kept[-rank]), level=1 - rule.alpha)


@lru_cache(maxsize=4096)
def median_rank(n: int, alpha: float) -> int:
    """The rank, from either end and from 1, of the bounds of a median's interval; 0: there is none.

    The most inner one with `P(Binomial(n, 1/2) < rank) <= alpha / 2`, so that the median of the
    population lies outside on either side with at most that probability.
    """
    rank = int(stats.binom.ppf(alpha / 2, n, 0.5))
    meets_exactly = stats.binom.cdf(rank, n, 0.5) <= alpha / 2 * (1 + 1e-12)
    return rank + 1 if meets_exactly else rank


def ratio_interval(log_a: Floats, log_b: Floats, rule: Rule) -> Interval | None:
    """An interval of the ratio of two populations' medians, from logarithms of separate samples.

    The bootstrap's percentile interval, at percentiles set further out as the t distribution asks
    for (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.2), with the
    degrees of freedom of two samples after Welch and Satterthwaite. Without that it covers 93 %
    where one sample is small and the other large; with it 96 to 99 % on simulated fleets.
    None where one of the samples is too small for an interval of its own median.
    """
    if not (median_rank(len(log_a), rule.alpha) and median_rank(len(log_b), rule.alpha)):
        return None
    differences = resampled_medians(log_a, rule.seed, 0) - resampled_medians(log_b, rule.seed, 1)
    tail = _outer_tail(len(log_a), len(log_b), rule.alpha)
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Interval(low=exp(low), high=exp(high), level=1 - rule.alpha)


def resampled_medians(values: Floats, *seed: int) -> Floats:
    """Medians of 9,999 bootstrap samples of `values`, shape (n,), without drawing the samples."""
    medians: Floats = np.sort(values)[_resampled_ranks(len(values), seed)].mean(axis=0)
    return medians


@lru_cache(maxsize=64)
def _resampled_ranks(n: int, seed: tuple[int, ...]) -> Indices:
    """Ranks, from 0, of the two values in the middle of resamples of n, shape (2, resamples).

    A resample's k-th smallest value is that of rank `ceil(n * u)`, where u is the k-th smallest
    of n uniform numbers; this has a beta distribution, and so has the next one in what is above.
    """
    random = default_rng(seed)
    k = ceil(n / 2)
    lower = random.beta(k, n - k + 1, _RESAMPLES)
    upper = lower if n % 2 else lower + (1 - lower) * random.beta(1, n - k, _RESAMPLES)
    return np.minimum((np.stack([lower, upper]) * n).astype(np.int64), n - 1)


def rate_interval(failures: int, total: int, rule: Rule) -> Interval:
    """The interval of Clopper and Pearson for a proportion; of none, anything from 0 to 1."""
    level = 1 - rule.alpha
    if total == 0:
        return Interval(low=0.0, high=1.0, level=level)
    found = stats.binomtest(failures, total).proportion_ci(level, method="exact")
    return Interval(low=float(found.low), high=float(found.high), level=level)


def quantile(values: Floats, q: float) -> float | None:
    """The q-quantile of `values`, shape (n,), by linear interpolation; None where all are NaN."""
    kept = values[~np.isnan(values)]
    return float(np.quantile(kept, q)) if len(kept) else None


@lru_cache(maxsize=4096)
def _outer_tail(n: int, m: int, alpha: float) -> float:
    """The share to leave out on either side: `alpha / 2` for large samples, less for small ones."""
    freedom = (1 / n + 1 / m) ** 2 / (1 / (n**2 * (n - 1)) + 1 / (m**2 * (m - 1)))
    reach = sqrt((freedom + 1) / freedom) * special.stdtrit(freedom, alpha / 2)
    return float(special.ndtr(reach))
