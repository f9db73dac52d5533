"""Intervals of failure rates, and quantiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import stats

from hps.compare.comparison import Floats, Interval
from hps.compare.stats import quantile, rate_interval
from tests.compare.fleets import RULE, at_least

TRIALS = 2000


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("total", [1, 5, 20, 100])
def test_it_holds_the_rate_as_often_as_it_says(rate: float, total: int) -> None:
    counts, times = np.unique(default_rng(total).binomial(total, rate, TRIALS), return_counts=True)
    found = [rate_interval(int(failures), total, RULE) for failures in counts]
    holds = np.array([interval.low <= rate <= interval.high for interval in found])
    assert at_least(int(times[holds].sum()), TRIALS, 0.95)


def test_it_is_little_wider_than_the_normal_approximation_where_that_is_good() -> None:
    found = rate_interval(300, 1000, RULE)
    assert found.high - found.low <= 1.05 * 2 * 1.96 * np.sqrt(0.3 * 0.7 / 1000)


def test_known_values() -> None:
    # None of n: the upper bound is 1 - (alpha / 2) ** (1 / n).
    none = rate_interval(0, 10, RULE)
    assert (none.low, none.level) == (0.0, 0.95)
    assert none.high == pytest.approx(1 - 0.025**0.1)
    assert rate_interval(10, 10, RULE).low == pytest.approx(0.025**0.1)
    assert rate_interval(0, 0, RULE) == Interval(low=0.0, high=1.0, level=0.95)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("total", [1, 7, 40, 1000, 100_000])
def test_it_is_the_exact_interval_that_scipy_finds(total: int, alpha: float) -> None:
    for failures in {0, 1, total // 3, total - 1, total}:
        theirs = stats.binomtest(failures, total).proportion_ci(1 - alpha, method="exact")
        ours = rate_interval(failures, total, replace(RULE, alpha=alpha))
        assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=1e-9, rel=0)


def test_known_quantiles() -> None:
    values = np.array([np.nan, 40.0, 10.0, 30.0, 20.0])
    assert [quantile(values, q) for q in (0, 0.1, 0.5, 0.9, 1)] == pytest.approx(
        [10, 13, 25, 37, 40]
    )
    assert quantile(np.array([7.0]), 0.9) == 7.0
    assert quantile(np.array([np.nan]), 0.5) is None
    assert quantile(np.array([]), 0.5) is None


def test_quantiles_of_many_are_those_of_what_they_were_drawn_from() -> None:
    values: Floats = default_rng(0).lognormal(5, 0.8, 200_000)
    for q in (0.1, 0.5, 0.9):
        assert quantile(values, q) == pytest.approx(
            stats.lognorm.ppf(q, 0.8, scale=np.exp(5)), 0.01
        )


@given(st.lists(st.floats(0.001, 1e6) | st.just(float("nan")), max_size=40), st.floats(0, 1))
@settings(derandomize=True)
def test_a_quantile_lies_among_the_values_that_are_there(values: list[float], q: float) -> None:
    found = quantile(np.array(values), q)
    there = [value for value in values if not np.isnan(value)]
    assert (found is None) == (not there)
    assert found is None or min(there) <= found <= max(there)
