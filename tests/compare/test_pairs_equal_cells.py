"""On cells that are equal, a difference is found no more often than alpha says."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from hps.compare.comparison import Floats
from hps.compare.pairs import PairTest, adjust, compare_all_paired, compare_unpaired
from tests.compare.fleets import RULE, at_most, panel

FLEETS = 400
# Cells and nodes; 16 cells are 120 pairs, which fewer than 13 nodes can't tell apart.
SIZES = [(4, 8), (4, 40), (9, 12), (9, 40), (16, 14), (16, 40)]


@cache
def _tested(cells: int, nodes: int) -> tuple[tuple[PairTest, ...], ...]:
    """All pairs of equal cells, in each of many fleets."""
    random = default_rng([cells, nodes])
    fleets = FLEETS if cells < 16 else FLEETS // 2
    panels = (panel(random, nodes, np.ones(cells)) for _ in range(fleets))
    return tuple(tuple(test for *_, test in compare_all_paired(made, RULE)) for made in panels)


def _significant(p: float | None) -> bool:
    return p is not None and p <= RULE.alpha


@pytest.mark.parametrize(("cells", "nodes"), SIZES)
def test_a_pair_of_equal_cells_differs_in_few_fleets(cells: int, nodes: int) -> None:
    fleets = _tested(cells, nodes)
    assert all(test.test == "Wilcoxon" for tests in fleets for test in tests)
    wrong = sum(any(_significant(test.p_adjusted) for test in tests) for tests in fleets)
    assert at_most(wrong, len(fleets), RULE.alpha), f"{wrong / len(fleets):.1%}"


@pytest.mark.parametrize(("cells", "nodes"), SIZES)
def test_without_the_correction_it_would_be_in_many(cells: int, nodes: int) -> None:
    fleets = _tested(cells, nodes)
    wrong = sum(any(_significant(test.p) for test in tests) for tests in fleets)
    assert not at_most(wrong, len(fleets), 2 * RULE.alpha)


@pytest.mark.parametrize("sizes", [(7, 9), (8, 30), (25, 60)])
def test_fleets_of_different_nodes_that_are_equal_differ_seldom(sizes: tuple[int, int]) -> None:
    random = default_rng(sum(sizes))
    wrong = 0
    for _ in range(FLEETS):
        a, b = (_fleet(random, n) for n in sizes)
        wrong += _significant(compare_unpaired(a, b, RULE).p)
    assert at_most(wrong, FLEETS, RULE.alpha)
    assert not at_most(wrong, FLEETS, RULE.alpha / 4)


def test_so_do_three_such_fleets_in_all_pairs() -> None:
    random = default_rng(3)
    wrong = 0
    for _ in range(FLEETS // 2):
        fleets = [_fleet(random, n) for n in (8, 12, 20)]
        tests = [compare_unpaired(a, b, RULE, comparisons=3) for a, b in combinations(fleets, 2)]
        wrong += any(map(_significant, adjust([test.p for test in tests])))
    assert at_most(wrong, FLEETS // 2, RULE.alpha)


def _fleet(random: Generator, nodes: int) -> Floats:
    """Rates of nodes, shape (nodes,), in one cell."""
    return panel(random, nodes, np.ones(1))[:, 0]
