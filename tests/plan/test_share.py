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
