"""Panel -> Comparison: cells summarized, compared in pairs, and decided between. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from hps.analyze import together
from hps.analyze.cell_summary import has_values, summarize
from hps.analyze.comparison import CellSummary, Comparison, Decision, Floats, Panel, Rule
from hps.analyze.decide import Field, decide, no_data
from hps.analyze.names import sort_key
from hps.analyze.verdicts import Tested, compare_pairs
from hps.analyze.words import Naming

# With more cells than that, only the pairs that a person asks about are kept.
MOST_CELLS_WITH_ALL_PAIRS = 40


def compare(panel: Panel, rule: Rule) -> Comparison:
    """Everything that is said of a panel; cells that repeat another's are left out of the tests."""
    summaries = tuple(summarize(cell, panel, rule) for cell in panel.cells)
    places = [
        place
        for place, cell in enumerate(panel.cells)
        if cell.same_as is None and has_values(cell.mbps)
    ]
    tested = _tested(panel, [summaries[place] for place in places], places, rule)
    return Comparison(
        title=panel.title,
        shared=panel.shared,
        step=panel.step,
        direction=panel.direction,
        unit=panel.unit,
        units=_units(panel),
        stratum=panel.stratum,
        cells=summaries,
        pairs=tuple(tested.pairs.values()) if tested else (),
        decision=_decision(panel, [summaries[place] for place in places], tested),
        notes=panel.notes,
    )


def _units(panel: Panel) -> int:
    """How many units have a value in at least one cell."""
    if not panel.cells:
        return 0
    there = ~np.isnan(np.stack([cell.mbps for cell in panel.cells]))
    return int(np.count_nonzero(there.any(axis=0)))


def _tested(
    panel: Panel, summaries: Sequence[CellSummary], places: Sequence[int], rule: Rule
) -> Tested | None:
    if not places:
        return None
    cells, keep, levels = [panel.cells[place] for place in places], None, None
    if len(places) > MOST_CELLS_WITH_ALL_PAIRS:
        levels = together.levels(np.stack([cell.mbps for cell in cells], axis=1))
        keep = sorted({*_with_best(levels), *_neighbours(summaries)})
    return compare_pairs(cells, panel.unit, panel.units, rule, keep, levels)


def _with_best(levels: Floats) -> Iterator[tuple[int, int]]:
    best = int(np.argmax(levels))
    for place in range(len(levels)):
        if place != best:
            yield min(place, best), max(place, best)


def _neighbours(summaries: Sequence[CellSummary]) -> Iterator[tuple[int, int]]:
    """Cells that differ in one name alone, by one step of its values."""
    for name in summaries[0].key:
        lines: dict[tuple[object, ...], list[int]] = {}
        for place, summary in enumerate(summaries):
            rest = tuple(value for other, value in summary.key.items() if other != name)
            lines.setdefault(rest, []).append(place)
        for line in lines.values():
            in_order = sorted(line, key=lambda at: sort_key(name, summaries[at].key[name]))
            for a, b in pairwise(in_order):
                yield min(a, b), max(a, b)


def _decision(panel: Panel, summaries: Sequence[CellSummary], tested: Tested | None) -> Decision:
    if tested is None:
        counts: Counter[str] = Counter()
        for cell in panel.cells:
            counts.update(cell.statuses)
        return no_data(sorted(counts.items()))
    naming = Naming.of([cell.key for cell in panel.cells])
    return decide(Field(summaries=summaries, tested=tested, shared=panel.shared, naming=naming))
