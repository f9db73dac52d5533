"""Holm's correction, against sums done by hand, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from hps.compare.pairs import adjust
from tests.compare.fleets import at_most

P_VALUES = st.lists(st.none() | st.floats(0, 1), max_size=30)


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        # 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, and never below the one before.
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.9, 0.6, 0.5], [1.0, 1.0, 1.0]),
        ([0.01, 0.01, 0.5], [0.03, 0.03, 0.5]),
        # Tests that were not made are not counted.
        ([None, 0.01, None, 0.04], [None, 0.02, None, 0.04]),
        ([None, None], [None, None]),
    ],
)
def test_examples(p_values: list[float | None], corrected: list[float | None]) -> None:
    assert adjust(p_values) == pytest.approx(corrected)


@given(P_VALUES)
@settings(derandomize=True)
def test_it_lies_between_the_p_value_and_bonferronis(p_values: list[float | None]) -> None:
    made = sum(p is not None for p in p_values)
    for p, corrected in zip(p_values, adjust(p_values), strict=True):
        assert (p is None) == (corrected is None)
        if p is not None and corrected is not None:
            assert p <= corrected <= min(1.0, p * made)


@given(st.permutations(range(6)))
@settings(derandomize=True)
def test_the_order_makes_no_difference(order: list[int]) -> None:
    p_values = [0.001, 0.2, 0.01, 0.01, 0.7, 0.04]
    straight = adjust(p_values)
    assert adjust([p_values[place] for place in order]) == [straight[place] for place in order]


def test_of_many_equal_any_is_found_different_at_most_at_alpha() -> None:
    families = default_rng(0).random((2000, 20)).tolist()
    smallest = np.array([min(p for p in adjust(family) if p is not None) for family in families])
    assert at_most(int((smallest <= 0.05).sum()), len(families), 0.05)
    # Not because nothing ever is.
    assert not at_most(int((smallest <= 0.05).sum()), len(families), 0.03)
