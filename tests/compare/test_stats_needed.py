"""How many more units, or repetitions, find a difference: as promised, on simulated fleets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from hps.compare.comparison import Floats, Needed, Rule
from hps.compare.pairs import PairTest, compare_all_paired, compare_paired, compare_unpaired
from hps.compare.stats import Pilot, Test, needed, smallest_n, smallest_n_unpaired
from tests.compare.fleets import RULE, at_least, at_most, panel

PILOT = 8
FLEETS = 250
PILOTS = 1200
# The first of the cells is a tenth faster than all others.
RATIOS = {1: np.array([1.1, 1.0]), 6: np.array([1.1, 1.0, 1.0, 1.0])}


def _pilot(
    spread: float | None,
    units: int,
    *,
    within: float | None = None,
    repetitions: float = 3,
    test: Test = "Wilcoxon",
) -> Pilot:
    return Pilot(
        spread_between=spread,
        spread_within=within,
        repetitions=repetitions,
        units=units,
        test=test,
    )


def _needed(test: PairTest, comparisons: int, within: float | None = None) -> Needed:
    return needed(_pilot(test.spread, test.n, within=within), 0.1, comparisons, RULE)


def _found(test: PairTest) -> bool:
    """As a winner is called: significant, and by more than the least that matters."""
    return (
        test.p_adjusted is not None
        and test.p_adjusted <= RULE.alpha
        and test.ratio is not None
        and test.ratio >= 1 + RULE.min_effect
    )


@pytest.mark.parametrize("comparisons", RATIOS)
@pytest.mark.parametrize("between", [0.02, 0.15])
def test_a_tenth_is_found_with_as_many_units_as_were_asked_for(
    comparisons: int, between: float
) -> None:
    random = default_rng([comparisons, int(100 * between)])
    found = 0
    for _ in range(FLEETS):
        pilot = panel(random, PILOT, RATIOS[comparisons], between=between)
        more = _needed(compare_paired(pilot[:, 0], pilot[:, 1], RULE), comparisons).more_units
        assert more is not None
        later = panel(random, more, RATIOS[comparisons], between=between)
        (_, _, first), *_ = compare_all_paired(np.concatenate([pilot, later]), RULE)
        found += _found(first)
    assert at_least(found, FLEETS, RULE.power), f"{found / FLEETS:.1%}"


@pytest.mark.parametrize(("comparisons", "spread"), [(1, 0.2), (36, 0.07)])
def test_the_promise_is_kept_on_average_over_lucky_and_unlucky_pilots(
    comparisons: int, spread: float
) -> None:
    random, rule = default_rng(comparisons), replace(RULE, min_effect=0.1)
    found = 0
    for _ in range(PILOTS):
        ratios = random.lognormal(np.log(1.1), spread, PILOT)
        guess = float(np.std(np.log(ratios), ddof=1))
        pilot = _pilot(guess, PILOT, repetitions=1)
        more = needed(pilot, 0.1, comparisons, rule).more_units
        assert more is not None
        ratios = np.concatenate([ratios, random.lognormal(np.log(1.1), spread, more)])
        p = compare_paired(ratios, np.ones(len(ratios)), rule).p
        found += p is not None and comparisons * p <= RULE.alpha
    assert at_least(found, PILOTS, RULE.power), f"{found / PILOTS:.1%}"
    assert at_most(found, PILOTS, RULE.power + 0.05), f"{found / PILOTS:.1%}"


def test_a_tenth_is_found_among_different_nodes_too() -> None:
    random = default_rng(5)
    found = 0
    for _ in range(FLEETS):
        a, b = random.lognormal(np.log(1.1), 0.05, PILOT), random.lognormal(0, 0.2, PILOT)
        pilot = _pilot(compare_unpaired(a, b, RULE).spread, PILOT, test="Mann-Whitney")
        more = needed(pilot, 0.1, 6, RULE).more_units
        assert more is not None
        a = np.concatenate([a, random.lognormal(np.log(1.1), 0.05, more)])
        b = np.concatenate([b, random.lognormal(0, 0.2, more)])
        test = compare_unpaired(a, b, RULE, comparisons=6)
        found += _found(replace(test, p_adjusted=None if test.p is None else 6 * test.p))
    assert at_least(found, FLEETS, RULE.power), f"{found / FLEETS:.1%}"


def _medians(logs: Floats, cell: float, within: Floats) -> Floats:
    """Rates in a cell, shape (units,), of repetitions, shape (units, repetitions)."""
    return np.exp(logs + cell + np.median(within, axis=1))


@pytest.mark.parametrize(
    ("units", "between", "promised"), [(40, 0.0, 0.3), (40, 0.1, 0), (12, 0.1, 0), (12, 0.0, 0.05)]
)
def test_repetitions_are_seldom_promised_in_vain(
    units: int, between: float, promised: float
) -> None:
    random = default_rng([units, int(100 * between)])
    promises = in_vain = 0
    for _ in range(FLEETS):
        logs, own = random.normal(5, 1, units), random.normal(np.log(1.1), between, units)
        noise = random.normal(0, 0.2, (2, units, 3))
        pilot = compare_paired(_medians(logs + own, 0, noise[0]), _medians(logs, 0, noise[1]), RULE)
        more = _needed(pilot, 6, within=0.2).more_repetitions
        if more is not None:
            noise = np.concatenate([noise, random.normal(0, 0.2, (2, units, more))], axis=2)
            a, b = _medians(logs + own, 0, noise[0]), _medians(logs, 0, noise[1])
            test = compare_paired(a, b, RULE, comparisons=6)
            assert test.p is not None
            promises += more > 0
            in_vain += not _found(replace(test, p_adjusted=6 * test.p))
    assert at_most(in_vain, FLEETS, 1 - RULE.power), f"{in_vain / FLEETS:.1%}"
    assert promises >= promised * FLEETS


def test_of_a_spread_that_is_well_known_it_is_the_textbooks_number() -> None:
    # (1.960 + 1.282)^2 / log(1.1)^2 x pi / 3 for a spread of 1, and 1.960^2 / 2 for small samples.
    textbook = 3.2415**2 / np.log(1.1) ** 2 * np.pi / 3 + 1.92
    assert _in_all(units=1000) == pytest.approx(textbook, rel=0.01)
    # A pilot may have been lucky, so it is asked for more.
    assert _in_all(units=PILOT) > 1.2 * textbook
    assert _in_all(units=10_000) == 10_000


def _in_all(units: int) -> int:
    more = needed(_pilot(1.0, units), 0.1, 1, replace(RULE, min_effect=0.1)).more_units
    assert more is not None
    return units + more


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({"spread": 0.4}, True),
        ({"effect": 0.2}, False),
        ({"comparisons": 120}, True),
        ({"units": 40}, False),
        ({"rule": replace(RULE, power=0.99)}, True),
        ({"rule": replace(RULE, alpha=0.01)}, True),
        ({"rule": replace(RULE, min_effect=0.08)}, True),
    ],
)
def test_what_makes_a_difference_harder_to_find(change: dict[str, object], grows: bool) -> None:
    before, after = _more_units(), _more_units(**change)  # type: ignore[arg-type]
    assert before is not None
    assert after is not None
    assert after != before
    assert (after > before) == grows


def _more_units(
    spread: float = 0.2,
    units: int = PILOT,
    effect: float = 0.1,
    comparisons: int = 6,
    rule: Rule = RULE,
) -> int | None:
    return needed(_pilot(spread, units), effect, comparisons, rule).more_units


@pytest.mark.parametrize("comparisons", [1, 6, 120])
def test_it_is_never_fewer_than_a_test_needs(comparisons: int) -> None:
    for units in range(20):
        spread = 1e-6 if units > 1 else None
        pilot = _pilot(spread, units, within=0.1)
        paired = needed(pilot, 0.1, comparisons, RULE).more_units
        assert paired is not None
        assert units + paired >= smallest_n(comparisons, RULE)
        unpaired = needed(replace(pilot, test="Mann-Whitney"), 0.1, comparisons, RULE)
        assert unpaired.more_units is not None
        assert units + unpaired.more_units >= smallest_n_unpaired(comparisons, RULE)


def test_repetitions_help_only_where_repetitions_are_what_differs() -> None:
    # 0.16 is what medians of three repetitions that spread by 0.17 differ by, over two cells.
    assert _more_repetitions(within=0.17) not in (None, 0)
    assert _more_repetitions(within=0.05) is None
    assert _more_repetitions(within=0.0) is None
    assert _more_repetitions(within=None) is None
    # Nor where the units are too few for any test, or enough for this one.
    assert _more_repetitions(within=0.17, units=12, comparisons=120) is None
    assert _more_repetitions(within=0.17, units=400) == 0
    assert _more_repetitions(within=None, units=400) == 0


def _more_repetitions(within: float | None, units: int = 40, comparisons: int = 6) -> int | None:
    return needed(_pilot(0.16, units, within=within), 0.1, comparisons, RULE).more_repetitions


def test_what_nobody_could_measure_is_not_asked_for() -> None:
    assert needed(_pilot(0.5, 8), 0.0501, 6, RULE).more_units is None
    with pytest.raises(ValueError, match="above zero"):
        needed(_pilot(0.5, 8), 0.0, 6, RULE)


def test_it_answers_for_any_fleet() -> None:
    random: Generator = default_rng(0)
    for _ in range(300):
        units, comparisons = int(random.integers(0, 10_000)), int(random.integers(1, 5000))
        spread, effect = float(random.uniform(0, 2)), float(random.uniform(0.001, 3))
        pilot = _pilot(spread, units, within=spread / 2)
        answer = needed(pilot, effect, comparisons, RULE)
        assert answer.effect == effect
        for more in (answer.more_units, answer.more_repetitions):
            assert more is None or (isinstance(more, int) and more >= 0)
