"""Which cells may be held against each other: those that were measured on the same nodes. Pure.

Nodes differ by far more than settings do, and which node ran which cell is seldom chance. So cells
are compared within the units that measured both, and these have to be a third of each cell's. Else
they are compared as samples of their own only where it is the units themselves that are asked
about, as with `--by country`; never where other settings, or other times, ran on other nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hps.analyze.comparison import Floats, Key, PanelCell, Unit
from hps.analyze.names import ROWS
from hps.analyze.pair_tests import PairTest
from hps.analyze.words import count

# Within units, as separate samples, or for this reason not at all.
Way = Literal["within", "apart", "other nodes", "other runs"]
UNTOLD: frozenset[Way] = frozenset({"other nodes", "other runs"})
# The least share of the units of each of two cells that must have measured both.
LEAST_SHARE = 1 / 3
# What nodes are, whatever they run. Their bandwidth is not among it: it is what is measured.
_OF_NODES = frozenset({"country", "gpu", "rtt", "proxied", "node"})
# Of one node, what keeps its runs apart.
_OF_RUNS = frozenset(ROWS)
_ROUNDS = 20


def same_units(matrix: Floats) -> NDArray[np.bool_]:
    """Whether the units of each two cells overlap enough, shape (cells, cells).

    `matrix` holds rates, shape (units, cells), NaN where a unit has none.
    """
    there = (~np.isnan(matrix)).astype(np.float64)
    both = there.T @ there
    most = np.maximum.outer(np.diag(both), np.diag(both))
    same: NDArray[np.bool_] = (both > 0) & (both >= LEAST_SHARE * most)
    return same


def are_same_units(a: Floats, b: Floats) -> bool:
    """`same_units` of two cells."""
    return bool(same_units(np.stack([a, b], axis=1))[0, 1])


def way(a: PanelCell, b: PanelCell, units: Sequence[str], unit: Unit) -> Way:
    """How two cells of a panel are compared; `units` are the names of its units."""
    if are_same_units(a.mbps, b.mbps):
        return "within"
    differing = _differing(a.key, b.key)
    if differing <= _OF_NODES:
        return "apart"
    if unit == "node" or _nodes(a, units) != _nodes(b, units):
        return "other nodes"
    return "apart" if differing <= _OF_RUNS else "other runs"


def _differing(a: Key, b: Key) -> set[str]:
    return {name for name in {*a, *b} if a.get(name) != b.get(name)}


def _nodes(cell: PanelCell, units: Sequence[str]) -> set[str]:
    """The nodes of units that are repetitions: `<node>/<run>/<repetition>`."""
    return {
        units[place].partition("/")[0] for place in np.flatnonzero(~np.isnan(cell.mbps)).tolist()
    }


def untested(reason: str, *, n: int = 0, comparable: bool = True) -> PairTest:
    """What nothing can be said of, and why."""
    return PairTest(
        ratio=None,
        interval=None,
        test="none",
        p=None,
        n=n,
        spread=None,
        reason=reason,
        comparable=comparable,
    )


def not_comparable(a: Floats, b: Floats, how: Way, unit: Unit) -> PairTest:
    """That of two cells nothing can be said, and how few of their units measured both."""
    there = ~np.isnan(a), ~np.isnan(b)
    both = int(np.count_nonzero(there[0] & there[1]))
    counts = " and ".join(f"{np.count_nonzero(one):,}" for one in there)
    text = f"can't be told: {how} ({count(both, unit)} in both, of {counts})"
    return untested(text, n=both, comparable=False)


def levels(matrix: Floats) -> Floats:
    """How fast each cell is, as if all units had measured all of them: logarithms, shape (cells,).

    Where they have, it is their medians; else least squares of a level for each cell and one for
    each unit, by turns, so that no cell comes first since only fast nodes measured it. `matrix` is
    that of `same_units`.
    """
    there = ~np.isnan(matrix)
    if there.all():
        medians: Floats = np.log(np.median(matrix, axis=0))
        return medians
    logs = np.log(np.where(there, matrix, 1.0))
    per_unit, per_cell = np.maximum(there.sum(axis=1), 1), np.maximum(there.sum(axis=0), 1)
    cells: Floats = np.zeros(matrix.shape[1])
    for _ in range(_ROUNDS):
        of_units = np.where(there, logs - cells, 0.0).sum(axis=1) / per_unit
        cells = np.where(there, logs - of_units[:, None], 0.0).sum(axis=0) / per_cell
    return cells
