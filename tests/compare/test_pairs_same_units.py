"""Cells that other nodes measured are not held against each other: the nodes would be compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.random import default_rng

from hps.compare.comparison import Comparison, Floats, Key, Rule
from hps.compare.decide import MOST_CELLS_WITH_ALL_PAIRS, compare
from hps.compare.gates import exit_code, judge
from hps.compare.pairs import levels
from hps.errors import EXIT_NO_DATA
from hps.spec.gates import parse
from tests.compare.built import make_cell, make_panel
from tests.compare.stored import findings_of
from tests.results.fleet import SimNode, grid, write_fleet

RULE = Rule()
NODES = 80


def _rates(seed: int, effect: float, *, nodes: slice) -> Floats:
    """What these of 80 nodes measure, of which the first is the slowest: the truth is `effect`."""
    chance = default_rng(seed)
    link = np.linspace(20, 400, NODES) * effect * chance.lognormal(0, 0.05, NODES)
    rates: Floats = np.full(NODES, np.nan)
    rates[nodes] = link[nodes]
    return rates


def _is_incomparable(found: Comparison) -> bool:
    decision = found.decision
    assert (decision.kind, decision.cell) == ("inconclusive", None)
    return decision.text.startswith("can't be told: other nodes")


@pytest.mark.parametrize("both", [0, 1, 12])
def test_slow_nodes_ran_the_one_cell_and_fast_nodes_the_other(both: int) -> None:
    """The truth is that 8 is the faster one; what differs are the nodes."""
    half = NODES // 2
    cells = [
        make_cell({"concurrency": 1}, _rates(1, 1.0, nodes=slice(half - both, NODES))),
        make_cell({"concurrency": 8}, _rates(2, 1.3, nodes=slice(0, half))),
    ]
    found = compare(make_panel(cells), RULE)
    assert _is_incomparable(found)
    (pair,) = found.pairs
    assert (pair.test, pair.p, pair.ratio, pair.interval) == ("none", None, None, None)
    assert (pair.verdict, pair.units, pair.comparable) == ("inconclusive", both, False)


def test_nodes_that_measured_both_tell_the_truth() -> None:
    cells = [
        make_cell({"concurrency": 1}, _rates(1, 1.0, nodes=slice(30, NODES))),
        make_cell({"concurrency": 8}, _rates(2, 1.3, nodes=slice(0, 50))),
    ]
    found = compare(make_panel(cells), RULE)
    assert (found.cells[0].median_mbps or 0) > (found.cells[1].median_mbps or 0)
    assert (found.decision.kind, found.decision.cell) == ("winner", {"concurrency": 8})
    assert (found.pairs[0].test, found.pairs[0].units) == ("Wilcoxon", 20)


def test_one_cell_that_other_nodes_measured_leaves_no_winner() -> None:
    everywhere = slice(0, NODES)
    cells = [
        make_cell({"concurrency": 1}, _rates(1, 1.0, nodes=everywhere)),
        make_cell({"concurrency": 4}, _rates(2, 1.5, nodes=everywhere)),
        make_cell({"concurrency": 8}, _rates(3, 2.0, nodes=slice(0, 10))),
    ]
    assert _is_incomparable(compare(make_panel(cells), RULE))
    assert compare(make_panel(cells[:2]), RULE).decision.kind == "winner"


@pytest.mark.parametrize(
    "keys",
    [
        ({"tool_version": "1.70.3"}, {"tool_version": "1.75.2"}),
        ({"date": "2026-11-01"}, {"date": "2026-11-08"}),
        ({"bandwidth": "below 100 Mbps"}, {"bandwidth": "above 300 Mbps"}),
        ({"country": "de", "concurrency": 1}, {"country": "us", "concurrency": 8}),
    ],
    ids=lambda keys: " ".join(keys[0]),
)
def test_nothing_but_what_nodes_are_is_compared_across_nodes(keys: tuple[Key, Key]) -> None:
    half = NODES // 2
    rates = _rates(1, 1.0, nodes=slice(0, half)), _rates(2, 1.0, nodes=slice(half, NODES))
    cells = [make_cell(key, mbps) for key, mbps in zip(keys, rates, strict=True)]
    assert _is_incomparable(compare(make_panel(cells), RULE))


@pytest.mark.parametrize("name", ["concurrency", "run"])
def test_of_one_node_its_runs_are_told_apart_only_where_they_are_asked_for(name: str) -> None:
    a, b = np.full(40, np.nan), np.full(40, np.nan)
    a[:20], b[20:] = (default_rng(seed).lognormal(5, 0.05, 20) for seed in (1, 2))
    units = tuple(f"node/run-{number // 20}/{number % 20}" for number in range(40))
    cells = [make_cell({name: 1}, a), make_cell({name: 2}, b * 2)]
    found = compare(make_panel(cells, unit="repetition", units=units), RULE)
    assert found.pairs[0].comparable == (name == "run")
    elsewhere = tuple(f"node-{number // 20}/{unit}" for number, unit in enumerate(units))
    found = compare(make_panel(cells, unit="repetition", units=elsewhere), RULE)
    assert not found.pairs[0].comparable
    assert _is_incomparable(found)


def _many(fast_only: int, nodes: slice) -> list[tuple[int, Floats]]:
    """50 cells, of which 20 is the best by a third; the first `fast_only` ran on these alone."""
    return [
        (
            number,
            _rates(
                number,
                1.3 if number == 20 else 1.0,
                nodes=nodes if number < fast_only else slice(0, NODES),
            ),
        )
        for number in range(50)
    ]


def test_of_many_cells_none_comes_first_since_fast_nodes_measured_it() -> None:
    cells = [make_cell({"concurrency": n}, mbps) for n, mbps in _many(15, slice(50, NODES))]
    assert len(cells) > MOST_CELLS_WITH_ALL_PAIRS
    found = compare(make_panel(cells), RULE)
    highest = max(found.cells, key=lambda cell: cell.median_mbps or 0)
    assert highest.key != {"concurrency": 20}
    assert (found.decision.kind, found.decision.cell) == ("winner", {"concurrency": 20})


def test_of_many_cells_other_nodes_leave_no_winner() -> None:
    cells = [make_cell({"concurrency": n}, mbps) for n, mbps in _many(15, slice(70, NODES))]
    found = compare(make_panel(cells), RULE)
    assert _is_incomparable(found)
    assert len(found.pairs) < 50 * 49 / 2


def test_levels_are_those_of_a_fleet_without_gaps() -> None:
    chance, truth = default_rng(5), np.log([1.0, 1.2, 0.7])
    matrix = np.exp(chance.normal(4, 1, (600, 1)) + truth + chance.normal(0, 0.05, (600, 3)))
    matrix[:300, 0] = np.nan
    matrix[np.argsort(matrix[:, 2])[:200], 1] = np.nan
    found = levels(matrix)
    assert found - found[0] == pytest.approx(truth - truth[0], abs=0.02)


def _fleet(chance: Random, number: int, name: str, mbps: float) -> SimNode:
    link = mbps * chance.uniform(0.8, 1.2)
    return SimNode(machine_id=f"{name}-{number}", download_mbps=link, upload_mbps=link)


def test_stored_weeks_of_other_nodes_give_no_answer_and_no_gate(tmp_path: Path) -> None:
    for name, mbps, concurrency in (("slow", 50.0, 8), ("fast", 300.0, 1)):
        write_fleet(
            tmp_path,
            30,
            grid(concurrency=[concurrency]),
            seed=concurrency,
            draw=partial(_fleet, name=name, mbps=mbps),
            effect=lambda node, cell, step: 1.3 if cell["concurrency"] == 8 else 1.0,
        )
    found = findings_of(tmp_path, by=("concurrency",), baseline="concurrency=8")
    assert all(_is_incomparable(one) for one in found.comparisons)
    assert [change.comparable for change in found.changes] == [False, False]
    result = judge(parse("regression<=5%"), found)
    assert (result.outcome, exit_code([result])) == ("inconclusive", EXIT_NO_DATA)
    assert "can't be told: other nodes" in result.where[0].reason
    assert found.changes[0].ratio is None
