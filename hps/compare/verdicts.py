"""All cells of a panel compared in pairs, within units where these are the same. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hps.catalog import prices
from hps.compare import pairs as pair_tests
from hps.compare import stats
from hps.compare.comparison import (
    CellSummary,
    Floats,
    Needed,
    Pair,
    PairVerdict,
    Panel,
    PanelCell,
    Rule,
    Unit,
)
from hps.compare.pairs import INCOMPARABLE, PairTest, Way, not_comparable, same_units, way

# Values, over pairs and units, beyond which only the pairs that are kept are tested: seconds.
_MOST_VALUES = 100_000_000
# Samples are planned for an effect of at least so many times `min_effect`: very many units would be
# needed to show that an effect just above `min_effect` is above it.
_PLANNED_FOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The pairs that are kept, by the places of their cells, and how they were tested.

    `comparisons` counts all pairs of the panel. `ways` has those, kept or not, that are not
    compared within units. `levels` says how fast the cells are, where not all pairs are kept.
    """

    cells: Sequence[PanelCell]
    unit: Unit
    rule: Rule
    comparisons: int
    ways: Mapping[tuple[int, int], Way]
    levels: Floats | None
    pairs: dict[tuple[int, int], Pair]
    tests: dict[tuple[int, int], PairTest]

    def over(self, a: int, b: int) -> Pair | None:
        """The comparison of a with b, turned where it was made the other way; None: not kept."""
        if (a, b) in self.pairs:
            return self.pairs[a, b]
        pair = self.pairs.get((b, a))
        return None if pair is None else pair.turned()

    @property
    def incomparable(self) -> list[tuple[int, int]]:
        """The pairs that can't be compared, since other units measured them."""
        return [pair for pair, way in self.ways.items() if way in INCOMPARABLE]

    def needed(self, a: int, b: int, power: float) -> Needed:
        """What it takes to find the measured effect, or twice `min_effect` if that is more.

        `power` is the chance to find it.
        """
        test = self.tests[min(a, b), max(a, b)]
        paired = (min(a, b), max(a, b)) not in self.ways
        cells = self.cells[a], self.cells[b]
        repetitions = np.concatenate([cell.repetitions[cell.repetitions > 0] for cell in cells])
        measured = max(test.ratio, 1 / test.ratio) - 1 if test.ratio else 0.0
        pilot = stats.Pilot(
            # With too few for a test a spread is too vague to plan with: first get enough for one.
            spread_between=None if test.test == "none" else test.spread,
            spread_within=_spread_within(*cells) if self.unit == "node" else None,
            repetitions=float(np.median(repetitions)) if len(repetitions) else 1.0,
            units=test.n,
            test="Wilcoxon" if paired else "Mann-Whitney",
        )
        effect = max(measured, _PLANNED_FOR * self.rule.min_effect)
        return stats.needed(pilot, effect, self.comparisons, replace(self.rule, power=power))

    def judged(self, a: int, b: int) -> Pair:
        """The pair that was tested in this order, with its verdict; where open, with `needed`."""
        test = self.tests[a, b]
        verdict = judge(test, self.rule)
        is_open = verdict == "inconclusive" and test.comparable
        return Pair(
            a=self.cells[a].key,
            b=self.cells[b].key,
            units=test.n,
            ratio=test.ratio,
            interval=test.interval,
            test=test.test,
            p=test.p,
            p_adjusted=test.p_adjusted,
            verdict=verdict,
            reason=test.reason,
            needed=self.needed(a, b, self.rule.power) if is_open else None,
            comparable=test.comparable,
        )


def compare_pairs(
    cells: Sequence[PanelCell],
    unit: Unit,
    units: Sequence[str],
    rule: Rule,
    keep: Sequence[tuple[int, int]] | None = None,
    levels: Floats | None = None,
) -> Tested:
    """Every pair of cells, corrected for all of them; pairs in `keep` (None: all) are kept.

    `units` are the names of the units; `levels` belong to `keep` and say how fast the cells are.
    """
    family = list(combinations(range(len(cells)), 2))
    matrix = np.stack([cell.mbps for cell in cells], axis=1)
    same = same_units(matrix)
    ways: dict[tuple[int, int], Way] = {
        (i, j): way(cells[i], cells[j], units, unit) for i, j in family if not same[i, j]
    }
    tests = _tested(matrix, family, keep, ways, unit, rule)
    tested = Tested(
        cells=cells,
        unit=unit,
        rule=rule,
        comparisons=len(family),
        ways=ways,
        levels=levels,
        pairs={},
        tests=tests,
    )
    return replace(tested, pairs={pair: tested.judged(*pair) for pair in tests})


def _tested(
    matrix: Floats,
    family: Sequence[tuple[int, int]],
    keep: Sequence[tuple[int, int]] | None,
    ways: Mapping[tuple[int, int], Way],
    unit: Unit,
    rule: Rule,
) -> dict[tuple[int, int], PairTest]:
    """The tests of the pairs that are kept, corrected for the whole family."""
    few = keep is not None and len(family) * len(matrix) > _MOST_VALUES
    chosen = list(keep) if keep is not None and few else family
    tests = _tests(matrix, chosen, ways, len(family), unit, rule)
    # What is not tested counts as equal: it makes the correction stricter, never weaker.
    untested: list[float | None] = [1.0] * (len(family) - len(chosen))
    corrected = pair_tests.adjust([*(test.p for test in tests), *untested])
    kept = set(family if keep is None else keep)
    return {
        pair: replace(test, p_adjusted=p)
        for pair, test, p in zip(chosen, tests, corrected, strict=False)
        if pair in kept
    }


def judge(test: PairTest, rule: Rule) -> PairVerdict:
    """Faster or slower has to be significant and to matter; alike needs a narrow interval."""
    if test.ratio is None:
        return "inconclusive"
    significant = test.p_adjusted is not None and test.p_adjusted < rule.alpha
    bound = 1 + rule.min_effect
    if significant and test.ratio >= bound:
        return "faster"
    if significant and test.ratio <= 1 / bound:
        return "slower"
    interval = test.interval
    alike = interval is not None and interval.low > 1 / bound and interval.high < bound
    return "alike" if alike else "inconclusive"


def compare_two(
    a: Floats, b: Floats, rule: Rule, *, how: Way, comparisons: int, unit: Unit
) -> PairTest:
    """Two cells, shapes (units,), by the test for `how` they were measured, if there is one."""
    if how in INCOMPARABLE:
        return not_comparable(a, b, how, unit)
    compare = pair_tests.compare_paired if how == "within" else pair_tests.compare_unpaired
    return compare(a, b, rule, comparisons=comparisons, unit=unit)


def _tests(
    matrix: Floats,
    pairs: Sequence[tuple[int, int]],
    ways: Mapping[tuple[int, int], Way],
    comparisons: int,
    unit: Unit,
    rule: Rule,
) -> list[PairTest]:
    if comparisons == len(pairs) and not ways:
        return [test for _, _, test in pair_tests.compare_all_paired(matrix, rule, unit=unit)]
    return [
        compare_two(
            matrix[:, i],
            matrix[:, j],
            rule,
            how=ways.get((i, j), "within"),
            comparisons=comparisons,
            unit=unit,
        )
        for i, j in pairs
    ]


def _spread_within(a: PanelCell, b: PanelCell) -> float | None:
    """The spread within units of both cells together; None where neither is known."""
    known = [cell.spread**2 for cell in (a, b) if cell.spread is not None]
    return float(np.sqrt(np.mean(known))) if known else None


# -------------------------------------------------------------------------------------------------
# One cell of a panel in numbers, over its units of sampling. Pure.


def summarize(cell: PanelCell, panel: Panel, rule: Rule) -> CellSummary:
    """One cell in numbers, by itself; intervals are at the level of the rule."""
    ended = sum(count for status, count in cell.statuses.items() if status != "interrupted")
    ok = cell.statuses.get("ok", 0)
    requests = cell.requests_class_a, cell.requests_class_b
    return CellSummary(
        key=cell.key,
        units=int(np.count_nonzero(~np.isnan(cell.mbps))),
        ok=ok,
        statuses=cell.statuses,
        median_mbps=stats.quantile(cell.mbps, 0.5),
        interval=stats.median_interval(cell.mbps, rule),
        p10_mbps=stats.quantile(cell.mbps, 0.1),
        p90_mbps=stats.quantile(cell.mbps, 0.9),
        min_mbps=stats.quantile(cell.mbps, 0.0),
        max_mbps=stats.quantile(cell.mbps, 1.0),
        first_done_s=stats.quantile(cell.duration_s, 0.0),
        last_done_s=stats.quantile(cell.duration_s, 1.0),
        p50_duration_s=stats.quantile(cell.duration_s, 0.5),
        failure_rate=(ended - ok) / ended if ended else None,
        failure_interval=stats.rate_interval(ended - ok, ended, rule) if ended else None,
        requests_per_gb=prices.requests_per_gb(*requests, cell.size_bytes),
        dollars_per_gb=prices.dollars_per_gb(
            cell.provider or panel.provider, *requests, cell.size_bytes, panel.direction
        ),
        same_as=cell.same_as,
        reasons=cell.reasons,
    )


def has_values(values: Floats) -> bool:
    """True where at least one unit has a rate."""
    return bool(np.any(~np.isnan(values)))
