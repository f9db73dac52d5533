"""How many units a test needs: to succeed at all, and to find a difference that is there. Pure."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, comb, log1p, pi, sqrt
from typing import Literal

from scipy import special
from scipy.optimize import brentq

from hps.analyze.comparison import Needed, Rule

Test = Literal["Wilcoxon", "Mann-Whitney"]
# Of Wilcoxon's and Mann-Whitney's tests against Student's, and of the median against the mean,
# where values are normal.
_EFFICIENCY = 3 / pi
_EFFICIENCY_OF_MEDIAN = 2 / pi
# Two samples of as many have more orders than there could be comparisons.
_MANY = 100
# More units than this are no answer.
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


def needed(
    spread_between: float | None,
    spread_within: float | None,
    repetitions: float,
    units: int,
    effect: float,
    comparisons: int,
    rule: Rule,
    *,
    test: Test = "Wilcoxon",
) -> Needed:
    """What would find a difference of `effect` (0.1: a tenth faster) with the chance `rule.power`.

    `spread_between` is that of the log ratios of `units` units, as `PairTest.spread` has it, each
    the median of `repetitions`; `spread_within` the standard deviation of the logarithm of the
    rate within a unit (None or 0: more repetitions are of no use). Where units are repetitions of
    one node, `more_units` counts repetitions. With Mann-Whitney's test, `units` are those of the
    smaller sample and `more_units` are more in each. 0: what is there is enough, and a difference
    as large as that would probably have been found.

    To be found, a difference has to be significant among `comparisons` and, where `effect` is
    above `rule.min_effect`, to be measured as more than that. Without a spread (fewer than two
    units) the answer is the fewest units with which a test can succeed. Raises `ValueError` where
    `effect` is not above zero.
    """
    if effect <= 0:
        raise ValueError("an effect to be found is above zero")
    least = (smallest_n if test == "Wilcoxon" else smallest_n_unpaired)(comparisons, rule)
    if spread_between is None or units < 2:
        return Needed(effect=effect, more_units=max(0, least - units), more_repetitions=None)
    freedom = units - 1
    precision = _precision(freedom, effect, comparisons, rule)
    extra = _extra(comparisons, rule)
    enough = max(least, (precision * spread_between) ** 2 + extra)
    tolerable = sqrt(max(0.0, units - extra)) / precision if units >= least else 0.0
    between = _upper(spread_between, freedom, rule)
    return Needed(
        effect=effect,
        more_units=max(0, ceil(enough) - units) if enough <= _MOST_UNITS else None,
        more_repetitions=0
        if units >= enough
        else _more_repetitions(between, spread_within, repetitions, tolerable),
    )


@lru_cache(maxsize=4096)
def _precision(freedom: int, effect: float, comparisons: int, rule: Rule) -> float:
    """The least `sqrt(n) / spread` with which a difference is found, where n is large.

    The spread is an estimate itself, with as many degrees of `freedom`. So the chance is taken
    over it too, which turns the normal distribution of the test's statistic into a noncentral t:
    the promise holds on average over all pilots, not just for those that got the spread right.
    """
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
    """What the true spread exceeds with a chance of `1 - rule.power`."""
    return spread * sqrt(freedom / float(special.chdtri(freedom, rule.power)))


def _more_repetitions(
    spread: float, within: float | None, repetitions: float, tolerable: float
) -> int | None:
    """How many more repetitions bring the spread of units' log ratios down to what is tolerable.

    Its square is that of the units' true log ratios, which no repetition changes, and twice (once
    for each cell) that of a median of so many repetitions within a unit. What is left of `spread`,
    an upper bound, for the first is what decides: taken from a lucky pilot it is zero too often.
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
    """That of the median of n normal values of variance 1.

    Exactly 1 for one, `pi / (2 n)` for many; within 2 % for odd numbers between, more than the
    truth for even ones.
    """
    return pi / (2 * n + pi - 2)
