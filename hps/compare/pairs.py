"""Two cells compared, or all pairs of many: ratios with intervals, tests, Holm's correction. Pure.

Rates are compared by the logarithms of their ratios: twice as fast and half as fast are equally
far apart, and what makes a node fast or slow as a whole cancels out within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hps.compare.comparison import Floats, Interval, Key, PanelCell, Rule, Unit, nodes_of
from hps.compare.names import ROWS
from hps.compare.stats import (
    Indices,
    can_succeed_unpaired,
    median_rank,
    ratio_interval,
    smallest_n,
    smallest_n_unpaired,
)
from hps.compare.words import plural

TestName = Literal["Wilcoxon", "Mann-Whitney", "none"]
# Beyond as many units scipy takes Wilcoxon's statistic for normal, ties or not.
_MOST_EXACT = 50
# Products of two samples' sizes up to which Mann-Whitney's exact distribution takes milliseconds.
_MOST_EXACT_UNPAIRED = 2500
# Differences in memory at once: 32 MB.
_BATCH = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """What a comparison of two cells, a and b, came to; `ratio` and `interval` are of a over b.

    `n` counts the units with a value in both cells, or those of the smaller sample where units
    differ. `spread` is the standard deviation of the logarithm of the ratio of one unit (of one
    unit of each sample where they differ); `needed` is asked with it. `test` is `none` where no
    test was made, with the `reason`. None: too few units to say so. Not `comparable`: the units
    differ, and so would their rates.
    """

    ratio: float | None
    interval: Interval | None
    test: TestName
    p: float | None
    n: int
    spread: float | None
    reason: str = ""
    p_adjusted: float | None = None
    comparable: bool = True


def compare_paired(
    a: Floats, b: Floats, rule: Rule, *, comparisons: int = 1, unit: Unit = "node"
) -> PairTest:
    """Rates of the same units in two cells, shapes (units,), by Wilcoxon's signed-rank test.

    The ratio is the median of the units' ratios (of two in the middle their geometric mean, so
    that b over a is its reciprocal), with an interval that covers at least at its level. What is
    NaN, or not above zero, is missing. The test is exact up to 50 units without ties; where all
    ratios are 1, p is 1. It is not made where it could not succeed among `comparisons`.
    """
    logs = _logs(np.stack([a, b]))
    (test,) = _paired(logs[:1] - logs[1:], rule, comparisons, unit)
    return test


def compare_all_paired(
    matrix: Floats,
    rule: Rule,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    unit: Unit = "node",
) -> list[tuple[int, int, PairTest]]:
    """`compare_paired` of cells i and j for all pairs i < j, or for `pairs`; corrected by Holm.

    `matrix` holds rates, shape (units, cells). The pairs are the family of tests that the
    correction is for.
    """
    chosen = list(combinations(range(matrix.shape[1]), 2)) if pairs is None else list(pairs)
    logs = _logs(matrix.T)
    tests = [
        test
        for batch in _batches(chosen, units=matrix.shape[0])
        for test in _paired(logs[batch[:, 0]] - logs[batch[:, 1]], rule, len(chosen), unit)
    ]
    corrected = adjust([test.p for test in tests])
    return [
        (i, j, replace(test, p_adjusted=p))
        for (i, j), test, p in zip(chosen, tests, corrected, strict=True)
    ]


def compare_unpaired(
    a: Floats, b: Floats, rule: Rule, *, comparisons: int = 1, unit: Unit = "node"
) -> PairTest:
    """Rates of different units in two cells, shapes (n,) and (m,), by Mann and Whitney's test.

    The ratio is that of the medians, with an interval by bootstrap. What is NaN, or not above
    zero, is missing. The test is exact where one sample has at most 8 units and there are no ties.
    It is not made where it could not succeed among `comparisons`.
    """
    log_a, log_b = (logs[~np.isnan(logs)] for logs in (_logs(a), _logs(b)))
    n, m = len(log_a), len(log_b)
    possible = can_succeed_unpaired(n, m, comparisons, rule)
    return PairTest(
        ratio=exp(np.median(log_a) - np.median(log_b)) if n and m else None,
        interval=ratio_interval(log_a, log_b, rule),
        test="Mann-Whitney" if possible else "none",
        p=_mann_whitney(log_a, log_b) if possible else None,
        n=min(n, m),
        spread=sqrt(np.var(log_a, ddof=1) + np.var(log_b, ddof=1)) if min(n, m) > 1 else None,
        reason="" if possible else _too_few_unpaired(n, m, comparisons, rule, unit),
    )


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """p values after Holm's correction: equal cells are found different at most alpha of the time.

    None stands for a test that was not made: it stays None, and is not counted. (Holm 1979, "A
    Simple Sequentially Rejective Multiple Test Procedure".)
    """
    made = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    greatest = 0.0
    for done, (p, place) in enumerate(made):
        greatest = max(greatest, min(1.0, p * (len(made) - done)))
        corrected[place] = greatest
    return corrected


def _logs(rates: Floats) -> Floats:
    """The natural logarithms of rates; NaN for those that have none."""
    usable = np.isfinite(rates) & (rates > 0)
    return np.log(rates, out=np.full(rates.shape, np.nan), where=usable)


def _batches(pairs: Sequence[tuple[int, int]], *, units: int) -> Iterator[Indices]:
    size = max(1, _BATCH // max(1, units))
    for start in range(0, len(pairs), size):
        yield np.array(pairs[start : start + size], dtype=np.int64)


def _paired(differences: Floats, rule: Rule, comparisons: int, unit: Unit) -> list[PairTest]:
    """One test for each row of log ratios, shape (pairs, units); rows alike in n at once."""
    present = ~np.isnan(differences)
    counts = present.sum(axis=1)
    least = smallest_n(comparisons, rule)
    tests: dict[int, PairTest] = {}
    for n in np.unique(counts).tolist():
        rows = np.flatnonzero(counts == n)
        kept = differences[rows][present[rows]].reshape(len(rows), n)
        reason = "" if n >= least else _too_few(n, least, comparisons, unit)
        tests.update(zip(rows.tolist(), _complete(kept, rule, reason), strict=True))
    return [tests[row] for row in range(len(differences))]


def _complete(differences: Floats, rule: Rule, reason: str) -> list[PairTest]:
    """`_paired` for rows, shape (pairs, n), without gaps; a `reason` is one to make no test."""
    pairs, n = differences.shape
    if n == 0:
        return [untested(reason)] * pairs
    ordered = np.sort(differences, axis=1)
    ratios = np.exp(np.median(ordered, axis=1)).tolist()
    intervals = _intervals(ordered, rule)
    spreads = np.std(ordered, axis=1, ddof=1).tolist() if n > 1 else [None] * pairs
    p_values = [None] * pairs if reason else _wilcoxon(differences).tolist()
    return [
        PairTest(
            ratio=ratio,
            interval=interval,
            test="none" if reason else "Wilcoxon",
            p=p,
            n=n,
            spread=spread,
            reason=reason,
        )
        for ratio, interval, p, spread in zip(ratios, intervals, p_values, spreads, strict=True)
    ]


def _intervals(ordered: Floats, rule: Rule) -> Sequence[Interval | None]:
    rank = median_rank(ordered.shape[1], rule.alpha)
    if rank == 0:
        return [None] * len(ordered)
    bounds = np.exp(ordered[:, [rank - 1, -rank]]).tolist()
    return [Interval(low=low, high=high, level=1 - rule.alpha) for low, high in bounds]


def _wilcoxon(differences: Floats) -> Floats:
    """The p value of each row, shape (pairs,), of differences of shape (pairs, n)."""
    p = np.ones(len(differences))
    differing = np.any(differences != 0, axis=1)
    if differences.shape[1] > _MOST_EXACT:
        p[differing] = _p(differences[differing], "auto")
        return p
    # Ties in one row would cost all the others the exact test.
    plain = differing & ~_has_ties(differences)
    p[plain] = _p(differences[plain], "exact")
    for row in np.flatnonzero(differing & ~plain):
        p[row] = _p(differences[row], "auto")
    return p


def _p(differences: Floats, method: Literal["exact", "auto"]) -> Floats:
    from scipy import stats  # noqa: PLC0415 - slow to import

    return np.asarray(stats.wilcoxon(differences, axis=-1, method=method).pvalue)


def _has_ties(differences: Floats) -> NDArray[np.bool_]:
    """Which rows, shape (pairs,), have two that are equal but for the sign, or one that is 0."""
    sizes = np.sort(np.abs(differences), axis=1)
    ties: NDArray[np.bool_] = np.any(np.diff(sizes, axis=1, prepend=0.0) == 0, axis=1)
    return ties


def _mann_whitney(log_a: Floats, log_b: Floats) -> float:
    from scipy import stats  # noqa: PLC0415 - slow to import

    exactly = len(log_a) * len(log_b) <= _MOST_EXACT_UNPAIRED
    result = stats.mannwhitneyu(log_a, log_b, method="auto" if exactly else "asymptotic")
    return float(result.pvalue)


def _too_few(n: int, least: int, comparisons: int, unit: Unit) -> str:
    return f"{plural(n, unit)}: no test can succeed below {least}{_among(comparisons)}"


def _too_few_unpaired(n: int, m: int, comparisons: int, rule: Rule, unit: Unit) -> str:
    least = smallest_n_unpaired(comparisons, rule)
    return (
        f"{plural(n, unit)} against {m}: no test can succeed with so few"
        f"{_among(comparisons)}, but with {least} against {least}"
    )


def _among(comparisons: int) -> str:
    return "" if comparisons == 1 else f" with {comparisons} comparisons"


# -------------------------------------------------------------------------------------------------
# Which cells are comparable: those that were measured on the same nodes. Pure.
#
# Nodes differ by far more than settings do, and which node ran which cell is seldom chance. So
# cells are compared within the units that measured both, and these have to be a third of each
# cell's. Else they are compared as samples of their own only where it is the units themselves that
# are asked about, as with `--by country`; never where other settings, or other times, ran on other
# nodes.

# Within units, as separate samples, or for this reason not at all.
Way = Literal["within", "apart", "other nodes", "other runs"]
INCOMPARABLE: frozenset[Way] = frozenset({"other nodes", "other runs"})
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
    """`same_units` of two cells, each of shape (units,)."""
    return bool(same_units(np.stack([a, b], axis=1))[0, 1])


def way(a: PanelCell, b: PanelCell, units: Sequence[str], unit: Unit) -> Way:
    """How two cells of a panel are to be compared; `units` are the names of the panel's units."""
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
    return nodes_of(units[place] for place in np.flatnonzero(~np.isnan(cell.mbps)).tolist())


def untested(reason: str, *, n: int = 0, comparable: bool = True) -> PairTest:
    """The outcome of a comparison that was not made, for this reason."""
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
    """The outcome where other units measured each cell, with how many measured both."""
    there = ~np.isnan(a), ~np.isnan(b)
    both = int(np.count_nonzero(there[0] & there[1]))
    counts = " and ".join(f"{np.count_nonzero(one):,}" for one in there)
    text = f"can't be told: {how} ({plural(both, unit)} in both, of {counts})"
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
