"""Each cell now against its baseline: ratios with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from hps.compare.comparison import Change, Findings, Rule
from hps.compare.words import plural
from hps.report import tables, values
from hps.report.pictures import forest
from hps.report.pictures.picture import Drawn, Paint, Picture, tip

MOST_ROWS = 40
_AXIS = "rate over that of the baseline"
_TIPS = (tip("cell", "cell"), *forest.tips("ratio"))


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """A picture for each comparison over all nodes; none where no baseline is named."""
    overall = [change for change in findings.changes if not change.stratum]
    changes = sorted(overall or findings.changes, key=tables.name)
    grouped = groupby(changes, key=tables.name)
    return [
        picture
        for name, group in grouped
        for picture in _picture(name, list(group), findings.rule, paint)
    ]


def _picture(of: str, changes: Sequence[Change], rule: Rule, paint: Paint) -> Iterator[Picture]:
    known = sorted((one for one in changes if one.ratio), key=lambda one: one.ratio or 0.0)
    if not known:
        return
    rows = [{"cell": values.short(one.key), **forest.values(one)} for one in known[:MOST_ROWS]]
    more = f" The {MOST_ROWS} least of {len(known)}." if len(known) > MOST_ROWS else ""
    alone = len(changes) - len(known)
    lost = f" Without a counterpart: {plural(alone, 'cell')}." if alone else ""
    verdicts = forest.tally([change.verdict for change in known])
    yield Picture(
        name=tables.slug("baseline", of),
        section="settings",
        title=f"{of}: now against the baseline",
        note=f"Ratio of the rates, with its interval. {forest.key(rule)}{more}{lost}",
        finding=f"{of}: {plural(len(known), 'cell')} against the baseline: {verdicts}.",
        layers=forest.layers(rows, "cell", _AXIS, rule, _TIPS, paint),
        height=forest.height(rows),
        least_width=320,
    )
