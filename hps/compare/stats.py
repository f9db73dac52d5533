"""Intervals that cover the true value at least at their level, quantiles, sample sizes. Pure.

All of them are at the level `1 - rule.alpha`, and the same input gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, exp, log1p, pi, sqrt
from typing import Literal

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import special

from hps.compare.comparison import Floats, Interval, Needed, Rule

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

    It is the most inner one with `P(Binomial(n, 1/2) < rank) <= alpha / 2`, so that the median of
    the population lies outside on either side with at most that probability.
    """
    below = special.bdtr(np.arange(n), n, 0.5)
    return int(np.count_nonzero(below <= alpha / 2 * (1 + 1e-12)))


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
    """The interval of Clopper and Pearson (1934) for the share of `failures` in `total`.

    Its ends are quantiles of beta distributions. Where `total` is 0 it is from 0 to 1.
    """
    level = 1 - rule.alpha
    if total == 0:
        return Interval(low=0.0, high=1.0, level=level)
    others, tail = total - failures, rule.alpha / 2
    low = special.betaincinv(failures, others + 1, tail) if failures else 0.0
    high = special.betaincinv(failures + 1, others, 1 - tail) if others else 1.0
    return Interval(low=float(low), high=float(high), level=level)


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


# -------------------------------------------------------------------------------------------------
# How many units a test needs: to be able to succeed, and to find a difference that exists. Pure.

Test = Literal["Wilcoxon", "Mann-Whitney"]
# Of Wilcoxon's and Mann-Whitney's tests against Student's, and of the median against the mean,
# where values are normal.
_EFFICIENCY = 3 / pi
_EFFICIENCY_OF_MEDIAN = 2 / pi
# Two samples of as many have more orders than there could be comparisons.
_MANY = 100
# Beyond as many units `Needed.more_units` is None.
_MOST_UNITS = 1_000_000


@lru_cache
def smallest_n(comparisons: int, rule: Rule) -> int:
    """The fewest units with which Wilcoxon's test can reach alpha after Holm's correction.

    Its least p of n units is `2 / 2**n`, and the first of Holm's tests is held against
    `rule.alpha / comparisons`.
    """
    n = 1
    while 2 / 2**n > rule.alpha / comparisons:
        n += 1
    return n


@lru_cache
def smallest_n_unpaired(comparisons: int, rule: Rule) -> int:
    """`smallest_n` for Mann-Whitney's test: the fewest units in each of two equal samples."""
    n = 1
    while not can_succeed_unpaired(n, n, comparisons, rule):
        n += 1
    return n


def can_succeed_unpaired(n: int, m: int, comparisons: int, rule: Rule) -> bool:
    """True where samples of n and m units can reach alpha: the least p is `2 / C(n + m, n)`."""
    return min(n, m) > _MANY or 2 / comb(n + m, n) <= rule.alpha / comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """What has been measured so far, by which the rest is planned.

    `spread_between` is that of the log ratios of `units` units, as `PairTest.spread` has it, each
    the median of `repetitions`; `spread_within` the standard deviation of the logarithm of the
    rate within a unit (None or 0: more repetitions are of no use). With Mann-Whitney's test,
    `units` are those of the smaller sample.
    """

    spread_between: float | None
    spread_within: float | None
    repetitions: float
    units: int
    test: Test = "Wilcoxon"


def needed(pilot: Pilot, effect: float, comparisons: int, rule: Rule) -> Needed:
    """What would find a difference of `effect` (0.1: a tenth faster) with the chance `rule.power`.

    Where units are repetitions of one node, `more_units` counts repetitions; with Mann-Whitney's
    test, it is more in each sample. 0: what is there is enough, and a difference as large as that
    would probably have been found.

    To be found, a difference has to be significant among `comparisons` and, where `effect` is
    above `rule.min_effect`, to be measured as more than that. Without a spread (fewer than two
    units) the answer is the fewest units with which a test can succeed. Raises `ValueError` where
    `effect` is not above zero.
    """
    if effect <= 0:
        raise ValueError("an effect to be found is above zero")
    units, spread = pilot.units, pilot.spread_between
    least = (smallest_n if pilot.test == "Wilcoxon" else smallest_n_unpaired)(comparisons, rule)
    if spread is None or units < 2:
        return Needed(effect=effect, more_units=max(0, least - units), more_repetitions=None)
    freedom = units - 1
    precision = _precision(freedom, effect, comparisons, rule)
    extra = _extra(comparisons, rule)
    enough = max(least, (precision * spread) ** 2 + extra)
    tolerable = sqrt(max(0.0, units - extra)) / precision if units >= least else 0.0
    between = _upper(spread, freedom, rule)
    return Needed(
        effect=effect,
        more_units=max(0, ceil(enough) - units) if enough <= _MOST_UNITS else None,
        more_repetitions=0
        if units >= enough
        else _more_repetitions(between, pilot.spread_within, pilot.repetitions, tolerable),
    )


@lru_cache(maxsize=4096)
def _precision(freedom: int, effect: float, comparisons: int, rule: Rule) -> float:
    """The least `sqrt(n) / spread` with which a difference is found, where n is large.

    The spread is an estimate itself, with as many degrees of `freedom`. So the chance is taken
    over it too, which turns the normal distribution of the test's statistic into a noncentral t:
    the promise holds on average over all pilots, not just for those that got the spread right.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - slow to import

    bound = _bound(comparisons, rule)
    shift = log1p(effect) * sqrt(_EFFICIENCY)
    margin = (log1p(effect) - log1p(rule.min_effect)) * sqrt(_EFFICIENCY_OF_MEDIAN)

    def chance(precision: float) -> float:
        significant = float(special.nctdtr(freedom, bound, precision * shift))
        too_small = float(special.stdtr(freedom, -precision * margin)) if margin > 0 else 0.0
        return significant - too_small

    highest = 1.0
    while chance(highest) < rule.power:
        highest *= 2
    return float(brentq(lambda precision: chance(precision) - rule.power, 0.0, highest))


def _extra(comparisons: int, rule: Rule) -> float:
    """Units to add because the tails of small samples are not normal (Guenther 1981)."""
    return _bound(comparisons, rule) ** 2 / 2


def _bound(comparisons: int, rule: Rule) -> float:
    """How many standard deviations from equal are significant among `comparisons`."""
    return -float(special.ndtri(rule.alpha / comparisons / 2))


def _upper(spread: float, freedom: int, rule: Rule) -> float:
    """What the true spread exceeds with a chance of only `1 - rule.power`."""
    return spread * sqrt(freedom / float(special.chdtri(freedom, rule.power)))


def _more_repetitions(
    spread: float, within: float | None, repetitions: float, tolerable: float
) -> int | None:
    """How many more repetitions bring the spread of units' log ratios down to what is tolerable.

    Its square is that of the units' true log ratios, which no repetition changes, and twice (once
    for each cell) that of a median of so many repetitions within a unit. The first is estimated
    as the rest of `spread`, an upper bound: from the spread of a lucky pilot it is 0 too often.
    """
    if not within:
        return None
    between = max(0.0, spread**2 - 2 * within**2 * _variance_of_median(repetitions))
    for_medians = (tolerable**2 - between) / (2 * within**2)
    if for_medians <= 0:
        return None
    enough = (pi / for_medians - pi + 2) / 2
    return max(0, ceil(enough - repetitions))


def _variance_of_median(n: float) -> float:
    """The variance of the median of n normal values of variance 1.

    It is exactly 1 for one, and `pi / (2 n)` for many; in between, it is within 2 % for odd
    numbers, and more than the truth for even ones.
    """
    return pi / (2 * n + pi - 2)
