"""Which cells a node of a fleet takes: all get their turn, whoever dies."""

from __future__ import annotations

from random import Random
from statistics import pstdev

import pytest

from hps.plan import share


def test_the_least_covered_cells_are_taken_and_ties_are_by_chance() -> None:
    assert share.least_covered([3, 1, 2, 0], 2, Random(0)) == (1, 3)
    assert share.least_covered([0, 0, 0], 5, Random(0)) == (0, 1, 2)
    taken = {share.least_covered([0] * 9, 3, Random(node)) for node in range(50)}
    assert len(taken) > 20


def test_a_hash_gives_a_node_the_same_cells_always() -> None:
    assert share.by_hash(48, 12, "a") == share.by_hash(48, 12, "a") != share.by_hash(48, 12, "b")
    assert share.by_hash(5, 12, "a") == (0, 1, 2, 3, 4)


def test_cells_that_are_taken_are_not_taken_again() -> None:
    assert share.least_covered([0, 0, 1, 2], 2, Random(0), taken=(0, 1)) == (2, 3)
    assert share.by_hash(4, 3, "a", taken=(1, 2)) == (0, 3)


@pytest.mark.parametrize(
    ("cells", "spent_s", "size"),
    [
        (0, 0.0, 1),  # nothing is known of how long one takes
        (1, 60.0, 4),  # 19 more fit into 20 minutes
        (1, 200.0, 2),
        (1, 400.0, 1),
        (1, 599.0, 1),
        (1, 601.0, 0),
        (4, 1000.0, 0),  # 250 s each, and 200 s are left
        (1, 5000.0, 0),
    ],
)
def test_a_block_is_half_of_what_fits_into_the_time(cells: int, spent_s: float, size: int) -> None:
    assert share.block_size(cells, spent_s, 1200.0) == size


@pytest.mark.parametrize("cell_s", [5.0, 100.0, 399.0])
def test_a_node_ends_within_its_time_and_uses_most_of_it(cell_s: float) -> None:
    done = 0
    while size := share.block_size(done, done * cell_s, 1200.0):
        done += size
    assert 1200.0 - cell_s < done * cell_s <= 1200.0


@pytest.mark.parametrize("cells", [(0,), (0, 31, 299), tuple(range(100))])
def test_a_share_is_read_as_it_was_written(cells: tuple[int, ...]) -> None:
    assert share.from_text(share.as_text(cells, 300), 300) == cells


def test_a_share_of_all_is_one_word() -> None:
    assert share.as_text(tuple(range(500)), 500) == "all"
    assert share.from_text("all", 3) == (0, 1, 2)


@pytest.mark.parametrize("text", ["", "done", "0.0", "1.0", "-1", "12c", "0x1", "1_0", "01", "1."])
def test_what_is_no_share_is_none(text: str) -> None:
    assert share.from_text(text, 300) is None


def _covered(nodes: int, cells: int, most: int, seed: int, *, announced: bool) -> list[int]:
    """How many nodes have measured each cell, where 15 % die half-way, and all know of the rest."""
    chance, shares = Random(seed), list[tuple[int, ...]]()
    for node in range(nodes):
        known = share.count(shares, cells)
        taken = (
            share.least_covered(known, most, Random(f"{seed} {node}"))
            if announced
            else share.by_hash(cells, most, f"{seed} {node}")
        )
        dies = chance.random() < 0.15
        shares.append(taken[: most // 2] if dies else taken)
    return share.count(shares, cells)


@pytest.mark.parametrize(("nodes", "cells"), [(200, 48), (1000, 48), (1000, 300), (50, 48)])
def test_each_cell_is_measured_by_as_many_nodes_as_any_other(nodes: int, cells: int) -> None:
    covered = _covered(nodes, cells, 12, seed=1, announced=True)
    assert pstdev(covered) <= 1
    assert min(covered) >= 0.85 * nodes * 12 / cells
    assert pstdev(_covered(nodes, cells, 12, seed=1, announced=False)) > 2
