"""What the pictures and the page ask of comparisons: which, in what order, called what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hps.analyze.comparison import CellSummary, Comparison, Findings, Key, Pair, PairVerdict
from hps.analyze.reasons import Reason, summed
from hps.report import keys

_WORDS = re.compile(r"[^a-z0-9]+")


def main(findings: Findings) -> list[Comparison]:
    """The comparisons over all nodes; where there are none, those by class of nodes."""
    overall = [comparison for comparison in findings.comparisons if not comparison.stratum]
    return overall or list(findings.comparisons)


def name(comparison: Comparison) -> str:
    """What tells it from the others, the class of nodes too."""
    return full_name(comparison.title, comparison.stratum)


def full_name(title: str, stratum: str) -> str:
    """A title, with a capital, and with the class of nodes where it does not say so itself."""
    apart = stratum and stratum.casefold() not in title.casefold()
    return title[:1].upper() + title[1:] + (f", {stratum}" if apart else "")


def same_kind(one: Comparison, other: Comparison) -> bool:
    """True where they differ in the class of nodes alone."""
    return (one.step, dict(one.shared)) == (other.step, dict(other.shared))


def measured(comparison: Comparison) -> list[CellSummary]:
    """All cells in order; one that another was measured in place of has that one's numbers."""
    own = {keys.phrase(cell.key): cell for cell in comparison.cells}
    cells = []
    for cell in comparison.cells:
        stands_for = own.get(keys.phrase(cell.same_as)) if cell.same_as is not None else None
        cells.append(
            cell if stands_for is None else replace(stands_for, key=cell.key, same_as=cell.same_as)
        )
    return sorted(cells, key=lambda cell: keys.rank(cell.key))


def reasons(comparisons: Iterable[Comparison]) -> tuple[Reason, ...]:
    """Why operations were not ok, of all cells together, the most frequent reason first."""
    cells = (cell for comparison in comparisons for cell in comparison.cells)
    return summed(one for cell in cells if cell.same_as is None for one in cell.reasons)


def best(comparison: Comparison) -> Key | None:
    """The decision's cell; where it names none, that with the highest median."""
    if comparison.decision.cell is not None:
        return comparison.decision.cell
    rates = [(cell.median_mbps, cell.key) for cell in comparison.cells if cell.same_as is None]
    known = [(rate, key) for rate, key in rates if rate is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def cell(comparison: Comparison, key: Key | None) -> CellSummary | None:
    """The numbers of a cell."""
    return next((one for one in measured(comparison) if one.key == key), None)


def against(comparison: Comparison, key: Key) -> list[Pair]:
    """The pairs that this cell is in, each with it as `a`."""
    turned = (_turned(pair) if pair.b == key else pair for pair in comparison.pairs)
    return [pair for pair in turned if pair.a == key]


def slug(*parts: str) -> str:
    """A name fit for a file: small letters, digits and hyphens."""
    return _WORDS.sub("-", " ".join(parts).lower()).strip("-")[:80]


def distinct(names: Sequence[str]) -> list[str]:
    """The names, a number behind each that came before."""
    seen: dict[str, int] = {}
    result = []
    for one in names:
        seen[one] = seen.get(one, 0) + 1
        result.append(one if seen[one] == 1 else f"{one}-{seen[one]}")
    return result


def _turned(pair: Pair) -> Pair:
    verdicts: dict[PairVerdict, PairVerdict] = {"faster": "slower", "slower": "faster"}
    span = pair.interval
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        ratio=None if pair.ratio is None else 1 / pair.ratio,
        interval=None if span is None else replace(span, low=1 / span.high, high=1 / span.low),
        verdict=verdicts.get(pair.verdict, pair.verdict),
    )
