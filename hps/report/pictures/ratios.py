"""How much faster the chosen cell is than each other: ratios within nodes, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hps.compare.comparison import Comparison, Findings, Key, Pair, Rule
from hps.compare.words import plural
from hps.report import tables, values
from hps.report.pictures import forest
from hps.report.pictures.picture import Drawn, Gap, Paint, Picture, Row, tip

MOST_ROWS = 30
_AXIS = "times as fast"
_TIPS = (tip("other", "compared with"), *forest.tips("times as fast"), tip("test", "test"))


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """A picture for each comparison over all nodes."""
    drawn = [
        picture
        for comparison in tables.main(findings)
        for picture in _picture(comparison, findings.rule, paint)
    ]
    few = "No ratios of cells: too few nodes, or repetitions, measured two of them."
    return drawn or (Gap(name="ratios", section="settings", reason=few),)


def _picture(comparison: Comparison, rule: Rule, paint: Paint) -> Iterator[Picture]:
    chosen = tables.best(comparison)
    pairs = [] if chosen is None else tables.against(comparison, chosen)
    known = sorted((pair for pair in pairs if pair.ratio), key=lambda pair: pair.ratio or 0.0)
    if chosen is None or not known:
        return
    rows = [_row(pair) for pair in known[:MOST_ROWS]]
    more = f" The {MOST_ROWS} nearest of {len(known)}." if len(known) > MOST_ROWS else ""
    of = tables.name(comparison)
    yield Picture(
        name=tables.slug("ratios", of),
        section="settings",
        title=f"{of}: {values.short(chosen)} against the others",
        note=f"How many times as fast {values.phrase(chosen)} is within the same "
        f"{comparison.unit}s, with its interval. {forest.key(rule)}{more}",
        finding=_finding(of, chosen, known),
        layers=forest.layers(rows, "other", _AXIS, rule, _TIPS, paint),
        height=forest.height(rows),
        least_width=320,
    )


def _row(pair: Pair) -> Row:
    test = pair.test if pair.test != "none" else pair.reason
    return {"other": values.short(pair.b), **forest.values(pair), "test": test}


def _finding(of: str, chosen: Key, pairs: Sequence[Pair]) -> str:
    verdicts = forest.tally([pair.verdict for pair in pairs])
    return f"{of}: {values.phrase(chosen)} against {plural(len(pairs), 'other cell')}: {verdicts}."
