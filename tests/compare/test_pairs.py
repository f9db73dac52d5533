"""Two cells compared: ratios, tests, gaps, what is too few; and what must make no difference."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import stats

from hps.compare.comparison import Floats, Interval
from hps.compare.pairs import PairTest, adjust, compare_all_paired, compare_paired, compare_unpaired
from hps.compare.stats import smallest_n, smallest_n_unpaired
from tests.compare.fleets import RULE

SAME = Interval(low=1.0, high=1.0, level=0.95)
RATES = st.lists(
    st.tuples(*[st.floats(0.1, 1e4) | st.just(float("nan"))] * 2), min_size=1, max_size=30
)


def _cells(units: int, cells: int = 2, seed: int = 0) -> Floats:
    return default_rng(seed).lognormal(5, 0.3, (units, cells))


def _close(test: PairTest, other: PairTest) -> None:
    """Both say the same, to within rounding."""
    assert (test.test, test.n, test.reason) == (other.test, other.n, other.reason)
    _same(test.ratio, other.ratio)
    _same(test.p, other.p)
    _same(test.spread, other.spread)
    assert (test.interval is None) == (other.interval is None)
    if test.interval is not None and other.interval is not None:
        _same(test.interval.low, other.interval.low)
        _same(test.interval.high, other.interval.high)


def _same(value: float | None, other: float | None) -> None:
    assert (value is None) == (other is None)
    if value is not None and other is not None:
        assert value == pytest.approx(other, rel=1e-6, abs=1e-9)


def test_an_example_by_hand() -> None:
    ratios = np.array([1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.95])
    b = np.array([10.0, 20, 500, 80, 239, 132, 82])
    test = compare_paired(ratios * b, b, RULE)
    # Of 2 ** 7 ways to put signs, 2 have a sum of negative ranks of at most 1, and as many above.
    assert (test.test, test.n, test.p) == ("Wilcoxon", 7, 4 / 2**7)
    assert test.ratio == pytest.approx(1.3)
    assert test.interval is not None
    assert test.interval.low == pytest.approx(0.95)
    assert test.interval.high == pytest.approx(1.6)
    assert test.spread == pytest.approx(np.std(np.log(ratios), ddof=1))
    assert test.reason == ""


@pytest.mark.parametrize("units", [8, 30, 50, 51, 400])
def test_p_is_that_of_scipy(units: int) -> None:
    a, b = _cells(units).T
    paired = stats.wilcoxon(np.log(a) - np.log(b)).pvalue
    assert compare_paired(a, b, RULE).p == pytest.approx(paired, rel=1e-9)
    unpaired = stats.mannwhitneyu(a, b[: units // 2]).pvalue
    assert compare_unpaired(a, b[: units // 2], RULE).p == pytest.approx(unpaired, rel=1e-9)


@pytest.mark.parametrize("units", [8, 40, 400])
def test_cells_that_are_the_same_do_not_differ(units: int) -> None:
    a = _cells(units)[:, 0]
    test = compare_paired(a, a, RULE)
    assert (test.p, test.ratio, test.interval, test.spread) == (1.0, 1.0, SAME, 0.0)
    same = np.full(units, 239.0)
    test = compare_unpaired(same, same, RULE)
    assert (test.p, test.ratio, test.interval, test.spread) == (1.0, 1.0, SAME, 0.0)


@pytest.mark.parametrize("units", [10, 30])
def test_ties_in_one_pair_cost_the_others_nothing(units: int) -> None:
    matrix = _cells(units, cells=4)
    # Powers of two: the differences of their logarithms are equal, and some are zero.
    matrix[:, 0] = 2.0 ** np.arange(units)
    matrix[:, 1] = matrix[:, 0] * 2.0 ** (np.arange(units) % 3 - 1)
    tests = {(i, j): test for i, j, test in compare_all_paired(matrix, RULE)}
    for (i, j), test in tests.items():
        expected = stats.wilcoxon(np.log(matrix[:, i]) - np.log(matrix[:, j])).pvalue
        assert test.p == pytest.approx(expected, rel=1e-9)


def test_what_is_missing_in_one_cell_is_left_out_of_the_pair() -> None:
    matrix = _cells(40, cells=5)
    matrix[default_rng(1).random(matrix.shape) < 0.2] = np.nan
    matrix[3, 0], matrix[4, 0], matrix[5, 1] = 0.0, -1.0, np.inf
    for i, j, test in compare_all_paired(matrix, RULE):
        both = np.isfinite(matrix[:, [i, j]]).all(axis=1) & (matrix[:, [i, j]] > 0).all(axis=1)
        alone = compare_paired(matrix[both, i], matrix[both, j], RULE, comparisons=10)
        assert test.n == both.sum() < 40
        _close(replace(test, p_adjusted=None), alone)


def test_all_pairs_are_what_each_alone_is_and_corrected_together() -> None:
    matrix = _cells(20, cells=6)
    tests = compare_all_paired(matrix, RULE)
    assert [(i, j) for i, j, _ in tests] == list(combinations(range(6), 2))
    for i, j, test in tests:
        alone = compare_paired(matrix[:, i], matrix[:, j], RULE, comparisons=15)
        _close(replace(test, p_adjusted=None), alone)
    assert [test.p_adjusted for *_, test in tests] == adjust([test.p for *_, test in tests])


def test_chosen_pairs_are_a_family_of_their_own() -> None:
    matrix = _cells(9, cells=6)
    assert {test.test for *_, test in compare_all_paired(matrix, RULE)} == {"none"}
    chosen = compare_all_paired(matrix, RULE, pairs=[(3, 0), (2, 1)])
    assert [(i, j) for i, j, _ in chosen] == [(3, 0), (2, 1)]
    alone = compare_paired(matrix[:, 3], matrix[:, 0], RULE)
    _close(replace(chosen[0][2], p_adjusted=None), alone)
    assert compare_all_paired(matrix, RULE, pairs=[]) == []


def test_many_units_are_taken_in_parts() -> None:
    matrix = _cells(150_000, cells=9)
    (*_, last) = compare_all_paired(matrix, RULE)
    alone = compare_paired(matrix[:, 7], matrix[:, 8], RULE, comparisons=36)
    assert last[:2] == (7, 8)
    _close(replace(last[2], p_adjusted=None), alone)


@pytest.mark.parametrize(("comparisons", "fewest"), [(1, 6), (2, 7), (6, 8), (12, 9), (120, 13)])
def test_too_few_for_a_test_to_succeed_is_said(comparisons: int, fewest: int) -> None:
    assert smallest_n(comparisons, RULE) == fewest
    best = np.full(fewest, 2.0) * (1 + np.arange(fewest) / 100)
    ones = np.ones(fewest)
    enough = compare_paired(best, ones, RULE, comparisons=comparisons)
    assert enough.p is not None
    assert enough.p * comparisons <= RULE.alpha
    few = compare_paired(best[1:], ones[1:], RULE, comparisons=comparisons)
    assert (few.test, few.p, few.n) == ("none", None, fewest - 1)
    assert few.ratio == pytest.approx(float(np.sqrt(best[fewest // 2] * best[-(fewest // 2)])))
    assert few.spread is not None
    among = "" if comparisons == 1 else f" with {comparisons} comparisons"
    assert few.reason == f"{fewest - 1} nodes: no test can succeed below {fewest}{among}"
    # A test of one fewer would not have succeeded indeed.
    assert stats.wilcoxon(np.log(best[1:])).pvalue * comparisons > RULE.alpha


@pytest.mark.parametrize(("comparisons", "fewest"), [(1, 4), (6, 5), (12, 6), (120, 8)])
def test_so_it_is_where_units_differ(comparisons: int, fewest: int) -> None:
    assert smallest_n_unpaired(comparisons, RULE) == fewest
    slow, fast = np.arange(1.0, fewest + 1), np.arange(100.0, 100 + fewest)
    enough = compare_unpaired(fast, slow, RULE, comparisons=comparisons)
    assert enough.p is not None
    assert enough.p * comparisons <= RULE.alpha
    few = compare_unpaired(fast[1:], slow[1:], RULE, comparisons=comparisons)
    assert (few.test, few.p, few.n) == ("none", None, fewest - 1)
    assert few.reason.startswith(f"{fewest - 1} nodes against {fewest - 1}: no test can succeed")
    assert few.reason.endswith(f"but with {fewest} against {fewest}")
    assert stats.mannwhitneyu(fast[1:], slow[1:]).pvalue * comparisons > RULE.alpha
    # A large sample makes up for a small one.
    assert compare_unpaired(fast[1:], np.arange(1.0, 60), RULE, comparisons=comparisons).p


def test_nothing_to_compare() -> None:
    nothing = np.array([np.nan, 1.0])
    for compare in (compare_paired, compare_unpaired):
        test = compare(nothing[:1], nothing[1:], RULE)
        assert (test.ratio, test.interval, test.p, test.spread) == (None, None, None, None)
        assert (test.test, test.n) == ("none", 0)
    assert compare_paired(nothing[:0], nothing[:0], RULE).n == 0
    one = compare_paired(np.array([6.0]), np.array([3.0]), RULE, unit="repetition")
    assert one.ratio == pytest.approx(2)
    assert (one.interval, one.spread) == (None, None)
    assert one.reason == "1 repetition: no test can succeed below 6"


@given(RATES, st.floats(0.01, 100))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_a_faster_or_slower_fleet_makes_no_difference(
    rates: list[tuple[float, float]], scale: float
) -> None:
    a, b = np.array(rates).T
    scaled = compare_unpaired(a * scale, b * scale, RULE)
    _close(replace(scaled, p=None), replace(compare_unpaired(a, b, RULE), p=None))
    paired, scaled = compare_paired(a, b, RULE), compare_paired(a * scale, b * scale, RULE)
    # Rounding can make or break a tie, which changes p.
    _close(replace(scaled, p=None), replace(paired, p=None))


@given(st.integers(6, 60), st.integers(0, 1000), st.floats(0.01, 100))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_a_faster_or_slower_node_makes_no_difference_to_the_pair(
    units: int, seed: int, scale: float
) -> None:
    matrix = _cells(units, seed=seed)
    moved = matrix.copy()
    moved[::2] *= scale
    ((_, _, before),) = compare_all_paired(matrix, RULE)
    ((_, _, after),) = compare_all_paired(moved, RULE)
    _close(after, before)


@given(RATES)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_the_other_way_round_is_the_reciprocal(rates: list[tuple[float, float]]) -> None:
    a, b = np.array(rates).T
    there, back = compare_paired(a, b, RULE), compare_paired(b, a, RULE)
    _close(_turned(back), there)
    there, back = compare_unpaired(a, b, RULE), compare_unpaired(b, a, RULE)
    _same(there.p, back.p)
    _same(there.spread, back.spread)
    assert (there.ratio or 1) * (back.ratio or 1) == pytest.approx(1)


def _turned(test: PairTest) -> PairTest:
    interval = test.interval
    return replace(
        test,
        ratio=None if test.ratio is None else 1 / test.ratio,
        interval=None
        if interval is None
        else replace(interval, low=1 / interval.high, high=1 / interval.low),
    )


@given(RATES, st.integers(0, 5))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_units_without_values_make_no_difference(
    rates: list[tuple[float, float]], more: int
) -> None:
    a, b = np.array(rates).T
    none, some = np.full(more, np.nan), np.full(more, 7.0)
    _close(compare_paired(np.r_[none, a], np.r_[some, b], RULE), compare_paired(a, b, RULE))
    _close(compare_unpaired(np.r_[none, a], np.r_[b, none], RULE), compare_unpaired(a, b, RULE))


def test_the_same_again_is_the_same() -> None:
    matrix = _cells(60, cells=3)
    assert compare_all_paired(matrix, RULE) == compare_all_paired(matrix, RULE)
    test = compare_unpaired(matrix[:, 0], matrix[:, 1], RULE)
    assert test == compare_unpaired(matrix[:, 0], matrix[:, 1], RULE)
    other = compare_unpaired(matrix[:, 0], matrix[:, 1], replace(RULE, seed=1))
    assert test.interval != other.interval
