"""Intervals of the ratio of medians of different nodes, by bootstrap."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from hps.compare.comparison import Floats
from hps.compare.pairs import compare_unpaired
from hps.compare.stats import ratio_interval, resampled_medians
from tests.compare.fleets import POPULATIONS, RULE, at_least

FLEETS = 2000


def _bounds(a: Floats, b: Floats) -> tuple[float, float]:
    interval = ratio_interval(np.log(a), np.log(b), RULE)
    assert interval is not None
    return interval.low, interval.high


@pytest.mark.parametrize("sizes", [(6, 6), (11, 11), (20, 50), (8, 1000)])
@pytest.mark.parametrize("population", ["exponential", "two halves"])
def test_it_holds_the_ratio_as_often_as_it_says(population: str, sizes: tuple[int, int]) -> None:
    random = default_rng(sum(sizes))
    a, b = (POPULATIONS[population].draw(random, (FLEETS, n)) for n in sizes)
    holds = [low <= 2.0 <= high for low, high in map(_bounds, 2 * a, b)]
    assert at_least(sum(holds), FLEETS, 0.95), f"{np.mean(holds):.1%}"


@pytest.mark.parametrize(("sizes", "most"), [((8, 8), 1.45), ((20, 50), 1.3), ((200, 100), 1.15)])
def test_it_is_not_much_wider_than_if_the_ratios_spread_were_known(
    sizes: tuple[int, int], most: float
) -> None:
    random = default_rng(0)
    a, b = (POPULATIONS["lognormal"].draw(random, (FLEETS, n)) for n in sizes)
    widths = [log(high / low) for low, high in map(_bounds, a, b)]
    ratios = np.log(np.median(a, axis=1)) - np.log(np.median(b, axis=1))
    assert np.mean(widths) <= most * 2 * 1.96 * np.std(ratios)


@pytest.mark.parametrize("n", [1, 2, 6, 9, 40, 101])
def test_medians_of_resamples_are_distributed_as_scipys(n: int) -> None:
    values = default_rng(n).exponential(100, n)
    theirs = np.median(values[default_rng(1).integers(0, n, (5000, n))], axis=1)
    ours = resampled_medians(values, 0)
    quantiles = [0.025, 0.2, 0.5, 0.8, 0.975]
    noise = 0.1 * float(np.std(values))
    assert np.quantile(ours, quantiles) == pytest.approx(np.quantile(theirs, quantiles), abs=noise)


def test_of_many_nodes_it_is_scipys_bootstrap() -> None:
    random = default_rng(3)
    log_a, log_b = random.normal(5.1, 0.8, 900), random.normal(5, 0.8, 700)
    theirs = stats.bootstrap(
        (log_a, log_b),
        lambda a, b, axis: np.median(a, axis=axis) - np.median(b, axis=axis),
        method="percentile",
        n_resamples=2000,
        batch=100,
        rng=default_rng(0),
    ).confidence_interval
    low, high = (log(bound) for bound in _bounds(np.exp(log_a), np.exp(log_b)))
    noise = (high - low) / 12
    assert low == pytest.approx(float(theirs.low), abs=noise)
    assert high == pytest.approx(float(theirs.high), abs=noise)


def test_where_one_sample_has_no_interval_of_its_own_there_is_none() -> None:
    many, six, five = np.arange(1.0, 101), np.arange(1.0, 7), np.arange(1.0, 6)
    assert compare_unpaired(many, five, RULE).interval is None
    assert compare_unpaired(five, many, RULE).interval is None
    assert compare_unpaired(many, six, RULE).interval is not None


def test_the_other_way_round_it_is_the_reciprocal_to_within_the_bootstraps_noise() -> None:
    a, b = POPULATIONS["lognormal"].draw(default_rng(4), (2, 31))
    (low, high), (other_low, other_high) = _bounds(a, b), _bounds(b, a)
    noise = log(high / low) / 20
    assert log(low * other_high) == pytest.approx(0, abs=noise)
    assert log(high * other_low) == pytest.approx(0, abs=noise)
