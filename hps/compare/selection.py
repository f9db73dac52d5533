"""A question on stored results, checked and parsed: names, values, units. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from hps.compare.comparison import Comparison, Decision, Rule
from hps.compare.names import (
    BY,
    CLASSES,
    IN_TIME,
    ROWS,
    STRATA,
    WHERE,
    Kind,
    Value,
    key_value,
    known,
    parse,
    stratum,
    word,
)
from hps.compare.words import Naming
from hps.errors import HpsError
from hps.model import DEFAULT, STEP_KNOBS

Operator = Literal["=", "!=", ">=", "<=", ">", "<"]

DEFAULT_BY = ("chunk_size", "concurrency")
_CONDITION = re.compile(r"\s*(?P<name>[\w-]*)\s*(?P<op>>=|<=|!=|==|=|>|<)\s*(?P<values>.*?)\s*")
_NAMED = re.compile(r"\s*[A-Za-z_][\w-]*\s*=")
# Kinds of value that have an order.
_ORDERED = ("size", "count", "date", "time", "rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as asked on a command line; `read` checks it.

    `experiments` empty: all. `where`: `NAME=VALUE[,VALUE]`, `NAME!=VALUE`, `NAME>=VALUE` and so on,
    joined by AND. `baseline`: `NAME=VALUE[,NAME=VALUE]`, or a path.
    """

    experiments: tuple[str, ...] = ()
    by: tuple[str, ...] = DEFAULT_BY
    where: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    baseline: str | None = None
    rule: Rule = field(default_factory=Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a row must meet: any of `values` for `=`, none of them for `!=`; else there is one.

    `values` are in base units: bytes, seconds, Mbps, numbers, true or false, text; `text` is the
    condition as written.
    """

    name: str
    op: Operator
    values: tuple[Value, ...]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBaseline:
    """The baseline is the cells with these values, with which all others are compared."""

    key: Mapping[str, str | int | bool]

    @property
    def in_time(self) -> tuple[Condition, ...]:
        """Its conditions that set a time, such as a date or a commit; empty: none does.

        Of the other cells, what was measured before them is left out.
        """
        named = [(name, value) for name, value in self.key.items() if name in IN_TIME]
        return tuple(condition(f"{name}={value}", "--baseline") for name, value in named)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsBaseline:
    """The baseline is the rows that meet these conditions; it is compared with all other rows."""

    conditions: tuple[Condition, ...]

    @property
    def is_in_time(self) -> bool:
        """True where it is compared only with rows that came after."""
        return any(condition.name in IN_TIME for condition in self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathBaseline:
    """The baseline is what is stored at this path."""

    path: str


Baseline = CellBaseline | RowsBaseline | PathBaseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked question: every name is known, every value in base units."""

    experiments: tuple[str, ...]
    by: tuple[str, ...]
    where: tuple[Condition, ...]
    strata: tuple[str, ...]
    baseline: Baseline | None
    rule: Rule


def read(question: Question) -> Asked:
    """The question with names checked and values parsed. Raises `HpsError`, naming the flag."""
    by = _names("--by", question.by, tuple(BY))
    if not by:
        raise HpsError("--by: names nothing", f"expected some of {', '.join(BY)}")
    return Asked(
        experiments=question.experiments,
        by=by,
        where=tuple(condition(text) for text in question.where),
        strata=_names("--strata", question.strata, STRATA),
        baseline=_baseline(question.baseline, by) if question.baseline is not None else None,
        rule=_checked(question.rule),
    )


def condition(text: str, flag: str = "--where") -> Condition:
    """`rtt<50ms` -> `Condition`. Raises `HpsError`, which names the flag."""
    match = _CONDITION.fullmatch(_spelled_out(text))
    if match is None:
        raise HpsError(
            f"{flag}: '{text[:60]}' is no condition", "expected NAME=VALUE, such as rtt<50ms"
        )
    name = known(flag, match["name"], WHERE)
    op = "=" if match["op"] == "==" else match["op"]
    kind = WHERE[name]
    words = [word.strip() for word in match["values"].split(",")]
    if "" in words:
        raise HpsError(f"{flag}: '{text[:60]}' lacks a value", f"expected {name}=VALUE[,VALUE]")
    _check_operator(flag, name, kind, op, words)
    values = tuple(parse(flag, name, kind, word) for word in words)
    _check_classes(flag, name, op, values)
    return Condition(name=name, op=cast(Operator, op), values=values, text=text)


def _spelled_out(text: str) -> str:
    """`disturbed` and `not disturbed` as `disturbed=true` and `disturbed=false`."""
    no, _, name = text.strip().rpartition(" ")
    if WHERE.get(name) == "boolean" and no.strip() in {"", "not"}:
        return f"{name}={'false' if no else 'true'}"
    return text


def _check_operator(flag: str, name: str, kind: Kind, op: str, words: Sequence[str]) -> None:
    if op in {"=", "!="}:
        return
    if kind not in _ORDERED:
        raise HpsError(f"{flag}: {name} has no order", f"write {name}=VALUE or {name}!=VALUE")
    if DEFAULT in words and name in STEP_KNOBS:
        raise HpsError(f"{flag}: {name}{op} takes a number", f"write {name}={DEFAULT}")
    if len(words) > 1:
        raise HpsError(f"{flag}: {name}{op} takes one value", f"a list needs {name}= or {name}!=")


def _check_classes(flag: str, name: str, op: str, values: Sequence[Value]) -> None:
    classes = [isinstance(value, str) for value in values]
    if name not in CLASSES or not any(classes):
        return
    if op not in {"=", "!="}:
        raise HpsError(f"{flag}: {name}{op} takes a number, not a class", "such as rtt<50ms")
    if not all(classes):
        raise HpsError(f"{flag}: {name} is either numbers or classes", "name one kind of them")


def _names(flag: str, names: Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """The names, each once."""
    return tuple(dict.fromkeys(known(flag, name.strip(), choices) for name in names))


def _baseline(text: str, by: tuple[str, ...]) -> Baseline:
    if not text.strip():
        raise HpsError("--baseline: names nothing", "expected NAME=VALUE, or a path")
    if not _NAMED.match(text):
        return PathBaseline(path=text)
    parts = [_part(part) for part in _split(text)]
    names = [known("--baseline", name, tuple(dict.fromkeys((*by, *ROWS)))) for name, _ in parts]
    inside = [name for name in names if name in by]
    if len(set(names)) < len(names):
        raise HpsError("--baseline: names something twice", "expected NAME=VALUE[,NAME=VALUE]")
    if not inside:
        return RowsBaseline(
            conditions=tuple(condition(f"{name}={value}", "--baseline") for name, value in parts)
        )
    if len(inside) < len(names):
        other = next(name for name in names if name not in by)
        raise HpsError(
            f"--baseline: {inside[0]} is in --by, {other} is not",
            "name a cell, or what other rows have in common, not both",
        )
    return CellBaseline(key={name: key_value("--baseline", name, value) for name, value in parts})


def _split(text: str) -> list[str]:
    """The text split at the commas that a `NAME=` follows, since values may hold commas."""
    return re.split(r",(?=\s*[A-Za-z_][\w-]*\s*=)", text)


def _part(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not value.strip():
        raise HpsError(f"--baseline: '{text[:60]}' lacks a value", "expected NAME=VALUE")
    return name.strip(), value.strip()


def _checked(rule: Rule) -> Rule:
    for name in ("alpha", "power"):
        if not 0 < getattr(rule, name) < 1:
            raise HpsError(f"--{name}: must be between 0 and 1", "0.05 is a twentieth")
    if not 0 < rule.min_effect < 10:
        raise HpsError("--min-effect: must be above 0 %", "5% is usual")
    return rule


# -------------------------------------------------------------------------------------------------
# Where classes of nodes have different answers, in a sentence. Pure.


def sentences(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """`download, by RTT: below 50 ms, concurrency 8 suffices; above 150 ms, use concurrency 32`.

    There is a sentence for each panel and kind of class whose classes have different answers.
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
    """The comparisons of classes of this kind, by the class's label."""
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
