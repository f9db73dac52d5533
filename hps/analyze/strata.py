"""Where classes of nodes have different answers, in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hps.analyze.comparison import Comparison, Decision
from hps.analyze.names import STRATA, stratum, word
from hps.analyze.words import Naming


def sentences(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """`download, by RTT: below 50 ms, concurrency 8 suffices; above 150 ms, use concurrency 32`.

    One for each panel and kind of class whose classes have at least two different answers.
    """
    titles = dict.fromkeys(comparison.title for comparison in comparisons)
    return tuple(
        _sentence(title, name, classes)
        for title in titles
        for name in STRATA
        for classes in [_classes(name, [one for one in comparisons if one.title == title])]
        if _differ(classes.values())
    )


def _classes(name: str, comparisons: Sequence[Comparison]) -> dict[str, Comparison]:
    """The comparisons of classes of this kind, by what the class is called."""
    prefix = stratum(name, "")
    return {
        comparison.stratum.removeprefix(prefix): comparison
        for comparison in comparisons
        if comparison.stratum.startswith(prefix)
    }


def _differ(comparisons: Iterable[Comparison]) -> bool:
    answers = [
        sorted(comparison.decision.cell.items())
        for comparison in comparisons
        if comparison.decision.cell is not None
    ]
    return any(answer != answers[0] for answer in answers)


def _sentence(title: str, name: str, classes: dict[str, Comparison]) -> str:
    naming = Naming.of([cell.key for one in classes.values() for cell in one.cells])
    parts = [f"{label}, {_answer(one.decision, naming)}" for label, one in classes.items()]
    return f"{title}, by {word(name)}: {'; '.join(parts)}"


def _answer(decision: Decision, naming: Naming) -> str:
    if decision.cell is None:
        return decision.kind
    name = naming.name(decision.cell)
    return f"use {name}" if decision.kind == "winner" else f"{name} suffices"
