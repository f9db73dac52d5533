"""Panel -> Comparison: cells summarized, compared in pairs, and decided between. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log

import numpy as np

from hps.compare import pairs, words
from hps.compare.comparison import (
    CellSummary,
    Comparison,
    Decision,
    Floats,
    Key,
    Needed,
    Pair,
    Panel,
    Rule,
    Unit,
)
from hps.compare.names import UNKNOWN, sort_key
from hps.compare.pairs import not_comparable
from hps.compare.verdicts import Tested, compare_pairs, has_values, summarize
from hps.compare.words import Naming
from hps.model import DEFAULT
from hps.units import parse_size_bytes

# -------------------------------------------------------------------------------------------------
# The answer of one panel: the cell to use, or what it would take to know. Pure.
#
# A winner is `faster` than every other cell, by `verdicts.judge`. Else, of the cells that are
# shown not to be slower than the best by `min_effect`, the one with the least `demand` suffices.
# Else the panel is inconclusive.


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The cells of a panel that have values, and how they compare.

    Arguments and results that are integers are places of cells in `summaries`, as in `tested`.
    """

    summaries: Sequence[CellSummary]
    tested: Tested
    shared: Key
    naming: Naming

    @property
    def unit(self) -> Unit:
        return self.tested.unit

    @property
    def bound(self) -> float:
        """The least ratio of rates that matters, such as 1.05."""
        return 1 + self.tested.rule.min_effect

    @property
    def places(self) -> list[int]:
        """The places of all cells, the fastest first."""
        scores = self.scores()
        return sorted(range(len(scores)), key=lambda place: -scores[place])

    def scores(self) -> list[float]:
        """How fast each cell is: the mean logarithm of its ratios to all others.

        Medians would compare the units and not the cells, where units are not in all cells. Where
        only some pairs were kept, the levels of the cells within units stand in.
        """
        count = len(self.summaries)
        if self.tested.levels is not None:
            return [float(level) for level in self.tested.levels]
        sums = [0.0] * count
        for (a, b), pair in self.tested.pairs.items():
            gain = log(pair.ratio or 1.0)
            sums[a] += gain
            sums[b] -= gain
        return [total / count for total in sums]

    def name(self, place: int) -> str:
        return self.naming.name(self.summaries[place].key)

    def key(self, place: int) -> Key:
        return self.summaries[place].key

    def others(self, place: int) -> list[int]:
        """The places of all cells but one, the fastest first."""
        return [other for other in self.places if other != place]

    def over(self, a: int, b: int) -> Pair:
        """How the cell at `a` compares with that at `b`.

        Raises `AssertionError` where that pair was not kept, which pairs with the fastest cell
        always are.
        """
        pair = self.tested.over(a, b)
        if pair is None:
            raise AssertionError("pairs with the best cell are always kept")
        return pair

    def demand(self, place: int) -> tuple[float, float]:
        """What a cell asks for: bytes of chunks in flight, then requests for each GB.

        What is not known of it may be anything, so it is infinite and never the least.
        """
        settings = {**self.shared, **self.key(place)}
        files, transfers = (_number(settings.get(name, 1)) for name in ("files", "transfers"))
        chunk = settings.get("chunk_size", "1B")
        known = isinstance(chunk, str) and chunk not in {UNKNOWN, DEFAULT}
        chunk_bytes = parse_size_bytes(str(chunk)) if known else inf
        in_flight = _number(settings.get("concurrency", 1)) * min(files, transfers) * chunk_bytes
        requests_per_gb = self.summaries[place].requests_per_gb
        return in_flight, inf if requests_per_gb is None else requests_per_gb


def decide(field: Field) -> Decision:
    """The decision between the cells of a field, of which there is at least one."""
    if len(field.summaries) == 1:
        text = "there is only one cell with results: nothing to compare it with"
        return Decision(kind="inconclusive", text=text)
    return _incomparable(field) or _winner(field) or _suffices(field) or _inconclusive(field)


def no_data(statuses: Mapping[str, int]) -> Decision:
    """The decision where no operation was `ok`; `statuses` says how many have each."""
    counts = words.counts(statuses) or "none at all"
    return Decision(kind="no data", text=f"no data: no operation was ok ({counts})")


_TOGETHER = {"other nodes": "on the same nodes", "other runs": "in the same runs"}


def _incomparable(field: Field) -> Decision | None:
    """Undecided where other nodes measured two cells: one may be faster for its nodes alone."""
    if not field.tested.incomparable:
        return None
    (a, b), *rest = field.tested.incomparable
    cells, how = field.tested.cells, field.tested.ways[a, b]
    found = not_comparable(cells[a].mbps, cells[b].mbps, how, field.unit)
    more = f" and {words.plural(len(rest), 'more pair')}" if rest else ""
    text = (
        f"{found.reason}: {field.name(a)} against {field.name(b)}{more};"
        f" measure them {_TOGETHER[how]}, or leave cells out with --where"
    )
    return Decision(kind="inconclusive", text=text)


def _winner(field: Field) -> Decision | None:
    for place in range(len(field.summaries)):
        pairs = [field.tested.over(place, other) for other in field.others(place)]
        if all(pair is not None and pair.verdict == "faster" for pair in pairs):
            return _won(field, place)
    return None


def _won(field: Field, place: int) -> Decision:
    second = field.others(place)[0]
    pair = field.over(place, second)
    text = (
        f"{field.name(place)} is the fastest: {words.faster(pair.ratio or 1.0)} than"
        f" {field.name(second)}, the next ({words.evidence(pair.interval, pair.units, field.unit)})"
    )
    return Decision(
        kind="winner",
        text=text + _failures(field.summaries[place]),
        cell=field.key(place),
        runner_up=field.key(second),
    )


def _suffices(field: Field) -> Decision | None:
    best, *others = field.places
    enough = [other for other in others if _is_enough(field.over(best, other), field.bound)]
    slower = [other for other in others if field.over(best, other).verdict == "faster"]
    if not enough or (len(enough) < len(others) and not slower):
        return None
    least = min([best, *enough], key=lambda place: (*field.demand(place), place != best))
    text = _all_alike(field, least) if len(enough) == len(others) else _enough(field, best, least)
    unknown = [other for other in others if other not in enough and other not in slower]
    if unknown:
        text += f"; open: {field.naming.names([field.key(other) for other in unknown])}"
    return Decision(
        kind="suffices",
        text=text + _failures(field.summaries[least]),
        cell=field.key(least),
        runner_up=field.key(best if least != best else enough[0]),
    )


def _is_enough(pair: Pair, bound: float) -> bool:
    """True where the fastest cell is shown not to be faster by what matters."""
    return pair.interval is not None and pair.interval.high < bound


def _all_alike(field: Field, least: int) -> str:
    effect = words.percent(field.bound - 1)
    best, *others = field.places
    units = min(field.over(best, other).units for other in others)
    text = f"no setting is faster than another by {effect} ({words.plural(units, field.unit)})"
    demands = {field.demand(place) for place in range(len(field.summaries))}
    return f"{text}; {field.name(least)} asks for least" if len(demands) > 1 else text


def _enough(field: Field, best: int, least: int) -> str:
    if least == best:
        second = field.others(best)[0]
        return (
            f"{field.name(best)} comes first, and of those alike it asks for least"
            f"; over {field.name(second)} it gains {_gain(field, best, second)}"
        )
    return (
        f"{field.name(least)} suffices: {field.name(best)}, which comes first, gains"
        f" {_gain(field, best, least)}"
    )


def _gain(field: Field, best: int, other: int) -> str:
    """`1.2 % (95 % interval -1 to 3 %, 12 nodes)`."""
    pair = field.over(best, other)
    evidence = words.evidence(pair.interval, pair.units, field.unit)
    return f"{words.percent((pair.ratio or 1.0) - 1)} ({evidence})"


def _inconclusive(field: Field) -> Decision:
    """Names the pair with the fastest cell that takes most to be decided."""
    best, *others = field.places
    against = {other: field.over(best, other) for other in others}
    undecided = [
        other
        for other, pair in against.items()
        if pair.verdict != "faster" and not _is_enough(pair, field.bound)
    ]
    # So that all of them are decided with the power that was asked for, each needs more.
    power = 1 - (1 - field.tested.rule.power) / len(undecided)
    needs = {other: field.tested.needed(best, other, power) for other in undecided}
    hardest = max(undecided, key=lambda other: _more_units(needs[other]))
    pair, needed = against[hardest], needs[hardest]
    return Decision(
        kind="inconclusive",
        text=_what_would_decide(field, best, hardest, pair, needed),
        runner_up=field.key(hardest),
        needed=needed,
    )


def _more_units(needed: Needed) -> float:
    return inf if needed.more_units is None else needed.more_units


def _what_would_decide(field: Field, best: int, other: int, pair: Pair, needed: Needed) -> str:
    if pair.ratio is not None and pair.ratio < 1:  # it comes first by its ratios to the others
        best, other, pair = other, best, pair.turned()
    question = (
        f"whether {field.name(best)} is {words.percent(needed.effect)} faster than"
        f" {field.name(other)}"
    )
    more = words.more(needed, field.unit)
    if pair.test == "none":
        tell = f"to tell {field.name(best)} from {field.name(other)}"
        return f"inconclusive: at least {more} are needed {tell} ({pair.reason})"
    now = words.evidence(pair.interval, pair.units, field.unit)
    if not more:
        return f"inconclusive: it is not known {question} ({now})"
    measured = words.percent((pair.ratio or 1.0) - 1)
    return f"inconclusive: {more} would decide {question} (now {measured}, {now})"


def _failures(summary: CellSummary) -> str:
    if not summary.failure_rate:
        return ""
    bad = f"{summary.ended - summary.ok:,} of {summary.ended:,}"
    return f"; {bad} of its operations did not succeed"


def _number(value: str | int | bool) -> float:
    return int(value) if isinstance(value, int) else inf


# -------------------------------------------------------------------------------------------------
# A panel, compared.

# With more cells than that, only pairs with the best cell and of neighbours are kept.
MOST_CELLS_WITH_ALL_PAIRS = 40


def compare(panel: Panel, rule: Rule) -> Comparison:
    """A panel compared; cells that repeat another's results are left out of the tests."""
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
        levels = pairs.levels(np.stack([cell.mbps for cell in cells], axis=1))
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
        return no_data(dict(sorted(counts.items())))
    naming = Naming.of([cell.key for cell in panel.cells])
    return decide(Field(summaries=summaries, tested=tested, shared=panel.shared, naming=naming))
