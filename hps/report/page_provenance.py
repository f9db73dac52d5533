"""The end of the page as values: where the numbers come from, and what is not among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap

from hps.compare import words
from hps.compare.comparison import Findings, FleetNode
from hps.compare.words import plural, setting
from hps.report import answer, tables
from hps.report.pictures import admission

MOST_VALUES = 20
MOST_NODES = 200
MOST_FILES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is known about the numbers; `more` values are not shown."""

    name: str
    values: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Omitted:
    """What is not in the comparison: in sentences, and by name."""

    sentences: tuple[str, ...]
    nodes: tuple[FleetNode, ...]
    more_nodes: int
    files: tuple[tuple[str, str], ...]
    more_files: int


def facts(findings: Findings) -> list[Fact]:
    """What is known of experiments, specs, versions and dates; empty facts are left out."""
    known = findings.provenance
    named = (
        ("experiments", known.experiments),
        ("specs", known.specs),
        ("from", known.sources),
        ("hps", known.hps_versions),
        ("tools", known.tools),
        ("prices", answer.prices(findings)),
        ("the same for all", tuple(starmap(setting, answer.in_common(findings).items()))),
        ("measured", _span(known.first_at, known.last_at)),
    )
    return [
        Fact(name=name, values=values[:MOST_VALUES], more=max(0, len(values) - MOST_VALUES))
        for name, values in named
        if values
    ]


def omitted(findings: Findings) -> Omitted:
    """What was left out: rejected nodes, runs that never began, results not ok, unread files."""
    files = sorted(findings.provenance.skipped_files.items())
    nodes = sorted(findings.rejected, key=lambda node: node.machine_id)
    return Omitted(
        sentences=tuple(_sentences(findings)),
        nodes=tuple(nodes[:MOST_NODES]),
        more_nodes=max(0, len(nodes) - MOST_NODES),
        files=tuple(files[:MOST_FILES]),
        more_files=max(0, len(files) - MOST_FILES),
    )


def _sentences(findings: Findings) -> Iterator[str]:
    if findings.rejected:
        why = ", ".join(
            f"{nodes:,} {reason}" for reason, nodes in admission.reasons(findings.rejected)
        )
        yield f"{plural(len(findings.rejected), 'node')} rejected: {why}."
    yield from (f"{words.never_began(one)}." for one in findings.never_began[:MOST_VALUES])
    for comparison in tables.main(findings):
        statuses: Counter[str] = Counter()
        for cell in comparison.cells:
            statuses.update({} if cell.same_as is not None else dict(cell.statuses))
        bad = words.counts({name: n for name, n in statuses.items() if n and name != "ok"})
        if bad:
            total = plural(sum(statuses.values()), "result")
            known = words.reasons(tables.reasons([comparison]))
            by_reason = f" By reason: {known}." if known else ""
            yield f"{tables.name(comparison)}: {bad} of {total}, without a rate.{by_reason}"
    files = findings.provenance.skipped_files
    if files:
        yield f"{plural(len(files), 'file')} passed over, in whole or in part."


def _span(first_at: str, last_at: str) -> tuple[str, ...]:
    """The time from the first to the last result as one text; none where nothing was measured."""
    times = dict.fromkeys(_time(at) for at in (first_at, last_at) if at)
    return (" to ".join(times),) if times else ()


def _time(at: str) -> str:
    """`2026-08-30T08:12:44.120000Z` -> `2026-08-30 08:12 UTC`."""
    return f"{at[:16].replace('T', ' ')} UTC"
