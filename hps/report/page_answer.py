"""The top of the page as values: the answers, and how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hps.analyze import names, words
from hps.analyze.comparison import (
    Change,
    Comparison,
    Decision,
    DecisionKind,
    Findings,
    Interval,
    Key,
    Pair,
)
from hps.report import keys, panels
from hps.report.numbers import interval_text, number_text, p_text, percent_text, plural, value_text

MOST_CARDS = 8
MOST_CLASSES = 60
MOST_NOTES = 40
MOST_CHANGES = 200
WORDS: Mapping[DecisionKind, str] = {
    "winner": "Winner",
    "suffices": "Suffices",
    "inconclusive": "Inconclusive",
    "no data": "No data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing to set: `chunk size`, `10MiB`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one comparison says. `kind` is a word for style sheets, `word` one for people."""

    name: str
    kind: str
    word: str
    settings: tuple[Setting, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surety:
    """How sure that is, in columns of text; empty where nothing can be said."""

    name: str
    word: str
    units: str
    median: str
    ahead: str
    p: str
    pairs: str
    failed: str
    needed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByClass:
    """The answer for one class of nodes."""

    name: str
    stratum: str
    word: str
    kind: str
    settings: str
    median: str
    units: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One cell against its baseline, in columns of text."""

    name: str
    cell: str
    ratio: str
    p: str
    verdict: str
    units: str
    notes: str


def answers(findings: Findings) -> list[Answer]:
    """A card for each comparison over all nodes, at most eight."""
    return [_answer(comparison) for comparison in panels.main(findings)[:MOST_CARDS]]


def sureties(findings: Findings) -> list[Surety]:
    """A row for each of them."""
    return [_surety(comparison) for comparison in panels.main(findings)[:MOST_CLASSES]]


def changes(findings: Findings) -> list[Changed]:
    """A row for each cell that has a baseline, or should have one; at most two hundred."""
    return [_changed(change) for change in findings.changes[:MOST_CHANGES]]


def _changed(change: Change) -> Changed:
    known = change.ratio is not None
    return Changed(
        name=panels.full_name(change.title, change.stratum),
        cell=keys.phrase(change.key),
        ratio=_faster(change.ratio, change.interval) if known else "",
        p=p_text(change.p_adjusted),
        verdict=change.verdict if known else "not compared",
        units=f"{change.n:,}",
        notes="; ".join(text for text in (change.reason, *change.notes) if text),
    )


def notes(findings: Findings) -> list[str]:
    """What has to be known of all numbers, and of those of one comparison."""
    own = (
        f"{panels.name(comparison)}: {note}"
        for comparison in panels.main(findings)
        for note in (*comparison.notes, *_untested(comparison))
    )
    return [*findings.notes, *own][:MOST_NOTES]


def _untested(comparison: Comparison) -> list[str]:
    """Why pairs of cells were not tested."""
    reasons = Counter(pair.reason for pair in comparison.pairs if pair.test == "none")
    return [f"{plural(number, 'pair')} without a test: {why}" for why, number in reasons.items()]


def classes(findings: Findings) -> list[ByClass]:
    """A row for each comparison within a class of nodes, where there are others over all."""
    main = panels.main(findings)
    rest = [comparison for comparison in findings.comparisons if comparison not in main]
    return [_by_class(comparison) for comparison in rest[:MOST_CLASSES]]


def _answer(comparison: Comparison) -> Answer:
    decision = comparison.decision
    return Answer(
        name=panels.name(comparison),
        kind=decision.kind.replace(" ", "-"),
        word=WORDS[decision.kind],
        settings=tuple(_settings(decision.cell)),
        text=_told(decision),
    )


def sentences(findings: Findings) -> list[str]:
    """Where the answers of classes of nodes differ."""
    return [_sentence(text) for text in findings.sentences]


def _told(decision: Decision) -> str:
    """The answer; that it is inconclusive is said beside it."""
    return _sentence(decision.text.removeprefix(f"{decision.kind}: "))


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _settings(key: Key | None) -> list[Setting]:
    return [
        Setting(name=names.word(name), value=value_text(value))
        for name, value in (key or {}).items()
    ]


def _surety(comparison: Comparison) -> Surety:
    chosen = panels.best(comparison)
    cell = panels.cell(comparison, chosen)
    pair = _ahead(comparison, chosen)
    verdicts = Counter(one.verdict for one in comparison.pairs)
    counts = (f"{verdicts[word]} {word}" for word in ("alike", "inconclusive") if verdicts[word])
    differ = verdicts["faster"] + verdicts["slower"]
    return Surety(
        name=panels.name(comparison),
        word=WORDS[comparison.decision.kind],
        units=plural(comparison.units, comparison.unit),
        median=f"{number_text(cell.median_mbps)} Mbps {interval_text(cell.interval)}"
        if cell is not None and cell.median_mbps is not None
        else "",
        ahead=_ahead_text(pair),
        p="" if pair is None else p_text(pair.p_adjusted),
        pairs=", ".join([f"{differ} differ", *counts]) if comparison.pairs else "",
        failed=_failed(comparison),
        needed=_needed(comparison),
    )


def _ahead(comparison: Comparison, chosen: Key | None) -> Pair | None:
    """The chosen cell against the runner-up; else against the one nearest to it."""
    pairs = [] if chosen is None else panels.against(comparison, chosen)
    next_best = [pair for pair in pairs if pair.b == comparison.decision.runner_up]
    known = [pair for pair in pairs if pair.ratio is not None]
    nearest = sorted(known, key=lambda pair: pair.ratio or 0.0)
    return next(iter([*next_best, *nearest]), None)


def _ahead_text(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return pair.reason if pair.ratio is None else _faster(pair.ratio, pair.interval)


def _faster(ratio: float | None, interval: Interval | None) -> str:
    """`12 % faster [9 to 15 %]`."""
    span = words.range_of(interval).partition(" interval ")[2]
    return words.faster(ratio or 1.0) + (f" [{span}]" if span else "")


def _failed(comparison: Comparison) -> str:
    statuses: Counter[str] = Counter()
    for cell in comparison.cells:
        statuses.update({} if cell.same_as is not None else dict(cell.statuses))
    total = sum(statuses.values()) - statuses["interrupted"]
    bad = total - statuses["ok"]
    return f"{bad:,} of {total:,} ({percent_text(bad / total)})" if total else ""


def _needed(comparison: Comparison) -> str:
    needed = comparison.decision.needed
    return "" if needed is None else words.more(needed, comparison.unit).rstrip(",")


def _by_class(comparison: Comparison) -> ByClass:
    decision = comparison.decision
    cell = panels.cell(comparison, decision.cell)
    median = number_text(cell.median_mbps) if cell is not None else ""
    return ByClass(
        name=panels.full_name(comparison.title, ""),
        stratum=comparison.stratum,
        word=WORDS[decision.kind],
        kind=decision.kind.replace(" ", "-"),
        settings=_in_short(_settings(decision.cell)) or _told(decision),
        median=f"{median} Mbps" if median else "",
        units=plural(comparison.units, comparison.unit),
    )


def _in_short(settings: Sequence[Setting]) -> str:
    return ", ".join(f"{one.name} {one.value}" for one in settings)
