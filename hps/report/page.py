"""Findings -> one HTML page that needs nothing else: no network, no file beside it.

Everything that comes from results is text to be shown: Jinja escapes it in HTML, `embedded` in
data for scripts. The policy in the page's head keeps it from fetching anything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import islice, starmap

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from hps.compare import names, words
from hps.compare.comparison import (
    TURNED,
    CellSummary,
    Change,
    Comparison,
    Decision,
    DecisionKind,
    Findings,
    FleetNode,
    Interval,
    Key,
    Pair,
    bounds,
)
from hps.compare.gates import judge_all
from hps.compare.words import plural, setting, value_text
from hps.report import answer, tables, values
from hps.report.pictures import admission, chart, failures, gallery
from hps.report.pictures.picture import PAGE, Drawn, Gap, Picture, Section
from hps.report.values import (
    capital,
    dollars_text,
    interval_text,
    number_text,
    p_text,
    percent_text,
)

# -------------------------------------------------------------------------------------------------
# The top of the page as values: the answers, and how sure they are.

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
class Answer:
    """What one comparison says. `kind` is a word for style sheets, `word` one for people.

    `settings` are names and values of what to set, such as `chunk size` and `10MiB`.
    """

    name: str
    kind: str
    word: str
    settings: tuple[tuple[str, str], ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surety:
    """How sure an answer is, in columns of text; a text is empty where nothing can be said."""

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
    """The answer for one class of nodes, as texts; `kind` is a word for style sheets."""

    name: str
    stratum: str
    word: str
    kind: str
    settings: str
    median: str
    units: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One cell now and at the baseline, in columns of text."""

    name: str
    cell: str
    ratio: str
    p: str
    verdict: str
    units: str
    notes: str


def answers(findings: Findings) -> list[Answer]:
    """A card for each comparison over all nodes, at most eight."""
    return [_answer(comparison) for comparison in tables.main(findings)[:MOST_CARDS]]


def sureties(findings: Findings) -> list[Surety]:
    """A row for each comparison over all nodes, at most sixty."""
    return [_surety(comparison) for comparison in tables.main(findings)[:MOST_CLASSES]]


def changes(findings: Findings) -> list[Changed]:
    """A row for each cell that has a baseline, or should have one; at most two hundred."""
    return [_changed(change) for change in findings.changes[:MOST_CHANGES]]


def _changed(change: Change) -> Changed:
    known = change.ratio is not None
    return Changed(
        name=tables.name(change),
        cell=values.phrase(change.key),
        ratio=_faster(change.ratio, change.interval) if known else "",
        p=p_text(change.p_adjusted),
        verdict=change.verdict if known else "not compared",
        units=f"{change.n:,}",
        notes="; ".join(text for text in (change.reason, *change.notes) if text),
    )


def notes(findings: Findings) -> list[str]:
    """Sentences on all numbers, then on those of single comparisons; at most forty."""
    own = (
        f"{tables.name(comparison)}: {note}"
        for comparison in tables.main(findings)
        for note in (*comparison.notes, *answer.untested(comparison))
    )
    return [*findings.notes, *own][:MOST_NOTES]


def classes(findings: Findings) -> list[ByClass]:
    """A row for each comparison within a class of nodes, where there are others over all."""
    main = tables.main(findings)
    rest = [comparison for comparison in findings.comparisons if comparison not in main]
    return [_by_class(comparison) for comparison in rest[:MOST_CLASSES]]


def _answer(comparison: Comparison) -> Answer:
    decision = comparison.decision
    return Answer(
        name=tables.name(comparison),
        kind=decision.kind.replace(" ", "-"),
        word=WORDS[decision.kind],
        settings=_settings(decision.cell),
        text=_decision_text(decision),
    )


def sentences(findings: Findings) -> list[str]:
    """Sentences on classes of nodes that have different answers."""
    return [_sentence(text) for text in findings.sentences]


def _decision_text(decision: Decision) -> str:
    """The decision in a sentence, less the word `inconclusive`, which the page shows beside it."""
    return _sentence(decision.text.removeprefix(f"{decision.kind}: "))


def _sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return capital(text) + ("" if text.endswith((".", "!", "?")) else ".")


def _settings(key: Key | None) -> tuple[tuple[str, str], ...]:
    return tuple((names.word(name), value_text(value)) for name, value in (key or {}).items())


def _surety(comparison: Comparison) -> Surety:
    chosen = tables.best(comparison)
    cell = tables.cell(comparison, chosen)
    pair = _ahead(comparison, chosen)
    verdicts = Counter(one.verdict for one in comparison.pairs)
    counts = (f"{verdicts[word]} {word}" for word in ("alike", "inconclusive") if verdicts[word])
    differ = verdicts["faster"] + verdicts["slower"]
    return Surety(
        name=tables.name(comparison),
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
    """The chosen cell compared with the runner-up; else with the one nearest to it."""
    pairs = [] if chosen is None else tables.against(comparison, chosen)
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
    bad, total = failures.failed(comparison), failures.counted(comparison)
    return f"{bad:,} of {total:,} ({percent_text(bad / total)})" if total else ""


def _needed(comparison: Comparison) -> str:
    needed = comparison.decision.needed
    return "" if needed is None else words.more(needed, comparison.unit).rstrip(",")


def _by_class(comparison: Comparison) -> ByClass:
    decision = comparison.decision
    cell = tables.cell(comparison, decision.cell)
    median = number_text(cell.median_mbps) if cell is not None else ""
    return ByClass(
        name=capital(comparison.title),
        stratum=comparison.stratum,
        word=WORDS[decision.kind],
        kind=decision.kind.replace(" ", "-"),
        settings=values.phrase(decision.cell) if decision.cell else _decision_text(decision),
        median=f"{median} Mbps" if median else "",
        units=plural(comparison.units, comparison.unit),
    )


# -------------------------------------------------------------------------------------------------
# The table of the page as values: a row for each cell of each comparison.

MOST_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field: its text, and what it is sorted by; None: nothing is known, so it comes last."""

    text: str
    rank: float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """The first `text_columns` columns are text, the others numbers; `more` rows are not shown."""

    columns: tuple[str, ...]
    text_columns: int
    rows: tuple[tuple[Entry, ...], ...]
    more: int


_NUMBERS = (
    *("ratio", "median", "from", "to", "p10", "p90", "n", "failed"),
    *("first done", "last done", "requests/GB", "$/GB"),
)


def table(findings: Findings) -> PageTable:
    """A row for each cell, in the order of the comparisons: what it reached, took and cost."""
    total = sum(len(comparison.cells) for comparison in findings.comparisons)
    text = ("comparison", "nodes", *map(names.word, findings.by), "verdict")
    return PageTable(
        columns=(*text, *_NUMBERS),
        text_columns=len(text),
        rows=tuple(islice(_rows(findings.comparisons, findings.by), MOST_ROWS)),
        more=max(0, total - MOST_ROWS),
    )


def _rows(comparisons: Sequence[Comparison], by: Sequence[str]) -> Iterator[tuple[Entry, ...]]:
    for comparison in comparisons:
        chosen = tables.best(comparison)
        pairs = [] if chosen is None else tables.against(comparison, chosen)
        facing = {values.phrase(pair.b): pair for pair in pairs}
        for cell in tables.measured(comparison):
            pair = facing.get(values.phrase(cell.key))
            yield (
                _text(capital(comparison.title)),
                _text(comparison.stratum or "all"),
                *(_key(cell, name) for name in by),
                _text(_verdict(cell, pair, _word(comparison, cell, chosen))),
                _number(1 / pair.ratio if pair is not None and pair.ratio else None),
                *_numbers(cell),
            )


def _numbers(cell: CellSummary) -> Iterator[Entry]:
    rates = (cell.median_mbps, *bounds(cell.interval), cell.p10_mbps, cell.p90_mbps)
    yield from map(_number, rates)
    yield Entry(text=f"{cell.units:,}", rank=cell.units)
    yield Entry(text=percent_text(cell.failure_rate), rank=cell.failure_rate)
    yield from map(_number, (cell.first_done_s, cell.last_done_s, cell.requests_per_gb))
    yield Entry(text=dollars_text(cell.dollars_per_gb), rank=cell.dollars_per_gb)


def _word(comparison: Comparison, cell: CellSummary, chosen: Key | None) -> str:
    """What the cell is called that all others are compared with; empty for other cells."""
    if cell.key != chosen:
        return ""
    return "chosen" if comparison.decision.cell is not None else "highest median"


def _verdict(cell: CellSummary, pair: Pair | None, chosen: str) -> str:
    """The verdict on this cell against the chosen one, which the pair has the other way round."""
    if cell.same_as is not None:
        return f"measured as {values.phrase(cell.same_as)}"
    if chosen or pair is None:
        return chosen
    return TURNED[pair.verdict]


def _key(cell: CellSummary, name: str) -> Entry:
    value = cell.key.get(name)
    if value is None:
        return Entry(text="", rank=None)
    number, word = names.sort_key(name, value)
    return Entry(text=value_text(value), rank=word or number)


def _text(text: str) -> Entry:
    return Entry(text=text, rank=text or None)


def _number(value: float | None) -> Entry:
    return Entry(text=number_text(value), rank=value)


# -------------------------------------------------------------------------------------------------
# The end of the page as values: where the numbers come from, and what is not among them.

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


# -------------------------------------------------------------------------------------------------

SECTIONS: Mapping[Section, str] = {
    "settings": "Settings",
    "fleet": "The nodes",
    "time": "Time",
    "reliability": "What failed, and who was left out",
}
# What ends a script, or a line of one, whatever stands around it.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """The pictures of one section, and why some are not there."""

    title: str
    figures: tuple[Picture, ...]
    gaps: tuple[str, ...]


def render(
    findings: Findings,
    *,
    version: str,
    made_at: str,
    fleet: Sequence[tuple[str, str]] = (),
    refresh_s: int | None = None,
) -> str:
    """The page as HTML. `version` is that of hps; `made_at` is a time of day as text.

    `fleet` has facts of nodes that are still at work, by name; one without a name goes on with the
    one before it. A browser loads the page again after `refresh_s`; None: never.
    """
    return _template().render(
        **_contents(findings),
        library=_script(chart.library()),
        code=_script(_part("page.js")),
        style=_as_is(_part("page.css")),
        version=version,
        made_at=made_at,
        fleet=_grouped(fleet),
        refresh_s=refresh_s,
    )


def _contents(findings: Findings) -> Mapping[str, object]:
    """What the page shows of the findings, by the names that the template has for it."""
    drawn = gallery.draw(findings, PAGE)
    specs = {
        picture.name: chart.spec(picture, PAGE, titled=False) for picture in gallery.pictures(drawn)
    }
    return {
        "findings": findings,
        "answers": answers(findings),
        "sentences": sentences(findings),
        "classes": classes(findings),
        "changes": changes(findings),
        "gates": tables.gates(judge_all((), findings)),
        "changes_more": max(0, len(findings.changes) - MOST_CHANGES),
        "sureties": sureties(findings),
        "notes": notes(findings),
        "certainty": answer.certainty(findings)[:1],
        "chapters": _chapters(drawn),
        # What is seen until, and unless, scripts draw the pictures.
        "svgs": {name: _as_is(chart.svg(spec)) for name, spec in specs.items()},
        "table": table(findings),
        "facts": facts(findings),
        "omitted": omitted(findings),
        "specs": embedded(specs),
    }


def _grouped(facts: Sequence[tuple[str, str]]) -> list[Fact]:
    found: list[Fact] = []
    for name, value in facts:
        if name or not found:
            found.append(Fact(name=name, values=(value,)))
        else:
            found[-1] = replace(found[-1], values=(*found[-1].values, value))
    return found


def embedded(data: object) -> Markup:
    """Data as JSON that may stand in a script element. Raises `ValueError` for NaN and infinity."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return _as_is(text)


def _as_is(made: str) -> Markup:
    """Text made here, with everything foreign in it escaped already: it goes in unchanged."""
    return Markup(made)  # noqa: S704 - see above


def _script(code: str) -> Markup:
    """Our own code, which is not escaped. Raises `ValueError` where it would end its element."""
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("a script that would end its own element")
    return _as_is(code)


def _template() -> Template:
    environment = Environment(
        loader=DictLoader({"page.html": _part("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _part(name: str) -> str:
    return resources.files("hps.report").joinpath(name).read_text(encoding="utf-8")


def _chapters(drawn: Sequence[Drawn]) -> Iterator[Chapter]:
    for section, title in SECTIONS.items():
        here = [one for one in drawn if one.section == section]
        yield Chapter(
            title=title,
            figures=tuple(one for one in here if isinstance(one, Picture)),
            gaps=tuple(one.reason for one in here if isinstance(one, Gap)),
        )
