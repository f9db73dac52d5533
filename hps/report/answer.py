"""A comparison in sentences: answers, how sure they are, what is not in it, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from hps.catalog.prices import PRICES
from hps.compare import words
from hps.compare.comparison import CellSummary, Comparison, Findings, FleetNode, Key, fault
from hps.compare.gates import GIVEN, GateResult
from hps.compare.words import listed, plural, value_text
from hps.report import tables
from hps.report.table import cell_name
from hps.report.tables import heading
from hps.report.values import percent_text

MOST_LISTED = 8
_MOST_NAMED = 3


def answers(findings: Findings) -> list[str]:
    """A line with the answer of each panel and stratum, then what tells the strata apart."""
    if not findings.comparisons:
        return ["Nothing was found that could be compared."]
    lines = [f"{heading(one)}: {one.decision.text}" for one in findings.comparisons]
    return [*cut(lines, 2 * MOST_LISTED), *findings.sentences, *findings.notes]


def gate_lines(gates: Sequence[GateResult]) -> list[str]:
    """A line for each gate: what came of it, where, and the cell that is the worst."""
    return [
        f"{outcome}  {gate}{'' if source == GIVEN else f' (of {source})'}: {where}"
        + (f"; the worst is {worst}" if worst else "")
        for outcome, gate, source, where, worst in tables.gates(gates).rows
    ]


def certainty(findings: Findings) -> list[str]:
    """What counts as a difference, and how many pairs of each panel differ, a line each."""
    if not findings.comparisons:
        return []
    lines = [line for one in findings.comparisons for line in _certainty(one)]
    same = in_common(findings)
    shared = [f"The same for all: {cell_name(same)}."] if same else []
    return [_rule(findings), *shared, *cut(lines, 3 * MOST_LISTED)]


def omitted(findings: Findings) -> list[str]:
    """Lines on rejected nodes, runs that never began, operations that were not ok, unread files."""
    return [
        *_rejected(findings.rejected),
        *cut([words.never_began(one) for one in findings.never_began], MOST_LISTED),
        *_by_reason(tables.main(findings)),
        *cut(_failures(findings.comparisons), MOST_LISTED),
        *_skipped(findings),
    ]


def provenance(findings: Findings) -> list[str]:
    """Two lines: what was measured where and when, and with what."""
    known = findings.provenance
    days = words.days(known.first_at, known.last_at)
    counted = f"{plural(known.results, 'result')} of {plural(known.runs, 'run')}"
    first = f"{counted} on {plural(known.nodes, 'node')}" + (f", {days}" if days else "")
    named = (
        ("experiment", known.experiments),
        ("spec", tuple(digest[:12] for digest in known.specs)),
        ("from", known.sources),
    )
    tools = (("hps", known.hps_versions), ("tool", known.tools), ("prices", prices(findings)))
    return [_joined([first], named), _joined([], tools)]


def prices(findings: Findings) -> tuple[str, ...]:
    """The price lists that dollars were counted by, each with its date."""
    used = dict.fromkeys(
        provider(one)
        for one in findings.comparisons
        if any(cell.dollars_per_gb is not None for cell in one.cells)
    )
    # Where a comparison is of several providers, each cell has the prices of its own.
    lists = [PRICES.get(name) for name in (used if all(used) else PRICES)]
    return tuple(f"{one.title} of {one.as_of}" for one in lists if one is not None)


def provider(comparison: Comparison) -> str:
    """The storage provider of a comparison; empty where it is unknown, or there are several."""
    return comparison.provider or value_text(comparison.shared.get("provider"))


def cut(lines: Sequence[str], most: int) -> list[str]:
    """The first `most` lines, and a line that says how many more there are."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[:most], f"… and {len(lines) - most:,} more"]


def in_common(findings: Findings) -> Key:
    """The settings that were the same for everything that was compared, with their values."""
    first, *rest = [one.shared for one in findings.comparisons] or [{}]
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in rest)
    }


def untested(comparison: Comparison, most: int | None = None) -> list[str]:
    """Why pairs were not tested; with `most`, so many reasons, the most frequent first."""
    reasons = Counter(pair.reason for pair in comparison.pairs if pair.test == "none")
    chosen = reasons.items() if most is None else reasons.most_common(most)
    return [f"{plural(count, 'pair')} without a test: {why}" for why, count in chosen]


def _rule(findings: Findings) -> str:
    rule = findings.rule
    units = dict.fromkeys(one.unit for one in findings.comparisons)
    intervals = (cell.interval for one in findings.comparisons for cell in one.cells)
    level = next((interval.level for interval in intervals if interval), 1 - rule.alpha)
    sampled = " or ".join("the node" if unit == "node" else "the repetition" for unit in units)
    return (
        f"The unit of sampling is {sampled}; intervals hold at {percent_text(level)}. A difference "
        f"is real where p, corrected for all pairs of a panel, is below {rule.alpha:g}, and "
        f"matters from {percent_text(rule.min_effect)} on."
    )


def _certainty(comparison: Comparison) -> Iterator[str]:
    verdicts = Counter(pair.verdict for pair in comparison.pairs)
    differ = verdicts["faster"] + verdicts["slower"]
    counts = (
        f"{plural(len(comparison.pairs), 'pair')}: different {differ:,}, "
        f"alike {verdicts['alike']:,}, inconclusive {verdicts['inconclusive']:,}"
    )
    units = plural(comparison.units, comparison.unit)
    yield f"{heading(comparison)}: {units}; {counts}"
    notes = (*untested(comparison, _MOST_NAMED), *comparison.notes)
    yield from (f"{heading(comparison)}: {note}" for note in notes)


def _rejected(nodes: Sequence[FleetNode]) -> Iterator[str]:
    if not nodes:
        return
    reasons = Counter(reason for node in nodes for reason in _why_rejected(node))
    by_reason = ", ".join(
        f"{count:,} by {reason}" for reason, count in reasons.most_common(MOST_LISTED)
    )
    yield f"{plural(len(nodes), 'node')} rejected{f': {by_reason}' if by_reason else ''}"
    yield from cut([f"{_id(node)}: {'; '.join(node.reasons)}" for node in nodes], MOST_LISTED)


def _id(node: FleetNode) -> str:
    return f"  {node.machine_id}" + (f" ({node.country})" if node.country else "")


def _why_rejected(node: FleetNode) -> Iterable[str]:
    """A node's code; else the checks that it did not pass, whose values differ between nodes."""
    if node.code:
        return (fault(node.code, node.owner),)
    failed = [str(check.get("name")) for check in node.checks if check.get("outcome") != "pass"]
    return failed or ("no check that is known",)


def _by_reason(comparisons: Sequence[Comparison]) -> Iterator[str]:
    known = tables.reasons(comparisons)
    if known:
        total = plural(sum(one.count for one in known), "operation")
        yield f"{total} not ok, by reason: {words.reasons(known)}"


def _failures(comparisons: Iterable[Comparison]) -> list[str]:
    found = [
        (cell.failure_rate or 0.0, f"{heading(one)}, {cell_name(cell.key)}: {_failure(cell)}")
        for one in comparisons
        for cell in one.cells
        if cell.not_ok
    ]
    return [text for _, text in sorted(found, key=lambda item: -item[0])]


def _failure(cell: CellSummary) -> str:
    text = f"{words.counts(cell.not_ok)} of {sum(cell.statuses.values()):,}"
    if cell.reasons:
        text += f" ({words.reasons(cell.reasons)})"
    if cell.failure_rate is None:
        return text
    interval = cell.failure_interval
    between = f" [{percent_text(interval.low)}, {percent_text(interval.high)}]" if interval else ""
    return f"{text}; {percent_text(cell.failure_rate)}{between} fail"


def _skipped(findings: Findings) -> Iterator[str]:
    skipped = findings.provenance.skipped_files
    if skipped:
        yield f"passed over in {plural(len(skipped), 'file')}"
        yield from cut([f"  {path}: {why}" for path, why in skipped.items()], MOST_LISTED)


def _joined(parts: list[str], lists: Iterable[tuple[str, Sequence[str]]]) -> str:
    named = (f"{word} {listed(names, _MOST_NAMED)}" for word, names in lists if names)
    return "; ".join([*parts, *named])
