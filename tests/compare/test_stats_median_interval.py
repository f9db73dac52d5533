"""Intervals of a median: how often they hold the truth, how wide they are, and what scipy says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from hps.compare.comparison import Floats, Interval
from hps.compare.stats import median_interval, median_rank
from tests.compare.fleets import POPULATIONS, RULE, at_least

FLEETS = 2000


def _interval(values: Floats, alpha: float = 0.05) -> Interval:
    interval = median_interval(values, replace(RULE, alpha=alpha))
    assert interval is not None
    return interval


@cache
def _bounds(population: str, n: int) -> Floats:
    """Intervals of simulated fleets of n nodes, shape (fleets, 2)."""
    fleets = POPULATIONS[population].draw(default_rng(n), (FLEETS, n))
    return np.array([(found.low, found.high) for found in map(_interval, fleets)])


@pytest.mark.parametrize("n", [6, 8, 12, 20, 50, 200])
@pytest.mark.parametrize("population", POPULATIONS)
def test_it_holds_the_median_as_often_as_it_says(population: str, n: int) -> None:
    low, high = _bounds(population, n).T
    holds = (low <= POPULATIONS[population].median) & (POPULATIONS[population].median <= high)
    assert at_least(int(holds.sum()), FLEETS, 0.95), f"{holds.mean():.1%}"


@pytest.mark.parametrize(
    # The widths of 8 are what it costs that ranks are whole numbers, and the most that it does.
    ("n", "most"),
    [(6, 1.6), (8, 1.9), (12, 1.3), (20, 1.25), (50, 1.25), (200, 1.1)],
)
def test_it_is_not_much_wider_than_if_the_medians_spread_were_known(n: int, most: float) -> None:
    low, high = _bounds("normal", n).T
    medians = np.median(POPULATIONS["normal"].draw(default_rng(1), (20_000, n)), axis=1)
    assert np.mean(high - low) <= most * 2 * 1.96 * np.std(medians)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_it_is_the_interval_that_scipy_inverts_a_test_for(alpha: float) -> None:
    for n in (8, 9, 13, 20, 51, 200, 1001):
        values = default_rng(n).exponential(100, n)
        tested = stats.quantile_test(values, q=0, p=0.5)
        theirs = np.asarray(tested.confidence_interval(confidence_level=1 - alpha))
        ours = _interval(values, alpha)
        assert [ours.low, ours.high] == theirs.tolist()
        assert ours.level == 1 - alpha


@pytest.mark.parametrize("alpha", [2**-9, 0.01, 0.05, 0.25, 0.5])
def test_its_rank_is_that_of_the_binomial_distribution(alpha: float) -> None:
    """With alphas that are sums of probabilities: a bound that is met exactly is met."""
    for n in (*range(1, 80), 1001, 50_000):
        rank = median_rank(n, alpha)
        inside = stats.binom.cdf(rank, n, 0.5)
        assert rank == 0 or stats.binom.cdf(rank - 1, n, 0.5) <= alpha / 2 * (1 + 1e-9)
        assert inside > alpha / 2


@pytest.mark.parametrize("n", [500, 1001, 2000])
def test_of_many_nodes_it_is_the_bootstraps(n: int) -> None:
    values = default_rng(n).lognormal(5, 0.8, n)
    bootstrap = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=2000, batch=100, rng=default_rng(0)
    ).confidence_interval
    ours = _interval(values)
    noise = (ours.high - ours.low) / 5
    assert ours.low == pytest.approx(bootstrap.low, abs=noise)
    assert ours.high == pytest.approx(bootstrap.high, abs=noise)


@pytest.mark.parametrize(
    ("alpha", "fewest"), [(0.05, 6), (0.01, 8), (0.001, 11), (0.2, 4), (2 * 0.5**6, 6)]
)
def test_of_too_few_there_is_none(alpha: float, fewest: int) -> None:
    rule = replace(RULE, alpha=alpha)
    values = np.arange(1.0, fewest + 1)
    assert median_interval(values[1:], rule) is None
    assert median_interval(values, rule) == Interval(low=1, high=fewest, level=1 - alpha)
    assert median_interval(np.array([]), rule) is None


def test_missing_values_are_left_out() -> None:
    values = default_rng(0).normal(100, 10, 30)
    with_gaps = np.insert(values, [0, 7, 7, 30], np.nan)
    assert median_interval(with_gaps, RULE) == median_interval(values, RULE)
    assert median_interval(np.array([1, 2, 3, 4, 5, np.nan]), RULE) is None
