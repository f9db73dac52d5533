"""Problems as text for people, data for programs, and annotations for GitHub's workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from hps.spec.problems import Problem
from hps.spec.quote import visible, visible_lines

_BOLD, _RED, _YELLOW, _DIM, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
_MAX_WIDTH = 160
_BEFORE_CARET = 60


def to_text(problems: Iterable[Problem], *, colour: bool = False, with_source: bool = False) -> str:
    """One line per problem; with the source also the line itself, secrets masked, and a caret."""
    shown: list[str] = []
    for problem in problems:
        shown.append(_painted(problem) if colour else str(problem))
        if with_source and problem.source_line:
            shown.extend(_excerpt(problem, colour))
    return "".join(f"{line}\n" for line in shown)


def as_data(problems: Iterable[Problem]) -> list[dict[str, object]]:
    """For programs: every field of each `Problem` but the source line."""
    return [_fields(problem) for problem in problems]


def to_github(problems: Iterable[Problem]) -> str:
    """One workflow command per problem, which GitHub shows beside the line."""
    return "".join(f"{_annotation(problem)}\n" for problem in problems)


def _fields(problem: Problem) -> dict[str, object]:
    found = {key: value for key, value in asdict(problem).items() if key != "source_line"}
    return {k: visible_lines(one) if isinstance(one, str) else one for k, one in found.items()}


def _painted(problem: Problem) -> str:
    tone = _RED if problem.severity == "error" else _YELLOW
    place = f"{_BOLD}{visible(problem.file)}:{problem.line}:{problem.column}:{_RESET}"
    severity = f"{_BOLD}{tone}{problem.severity}:{_RESET}"
    return f"{place} {severity} {problem.text} {_DIM}[{problem.rule}]{_RESET}"


def _excerpt(problem: Problem, colour: bool) -> Iterator[str]:
    """The line, cut around the problem where it is long, and a caret below."""
    begin = 0 if problem.column <= _MAX_WIDTH else problem.column - _BEFORE_CARET
    cut = problem.source_line[begin : begin + _MAX_WIDTH]
    visible = "".join(one if one.isprintable() else " " for one in cut)
    at = problem.column - 1 - begin
    width = max(1, min(problem.end_column - problem.column, len(visible) - at))
    number = str(problem.line)
    caret = "^" * width
    yield f"  {number} | {visible}"
    yield f"  {' ' * len(number)} | {' ' * at}{f'{_RED}{caret}{_RESET}' if colour else caret}"


def _annotation(problem: Problem) -> str:
    properties = {
        "file": visible(problem.file),
        "line": str(problem.line),
        "endLine": str(problem.line),
        "col": str(problem.column),
        "endColumn": str(problem.end_column - 1),
        "title": f"hps: {problem.rule}",
    }
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{problem.severity} {listed}::{_data(problem.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
