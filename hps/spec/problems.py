"""A problem in an experiment file: where it is, what is wrong, what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from hps.errors import HpsError

# -------------------------------------------------------------------------------------------------
# Foreign text in a message: short, on one line, and without what a terminal would obey.

_MAX_LENGTH = 60
_USER_INFO = re.compile(r"(://)[^/\s]*@")


def quoted(text: str) -> str:
    """`'text'`, cut to a readable length, with what cannot be printed as escapes."""
    return f"'{shown(text)}'"


def shown(text: str) -> str:
    """As `quoted`, without quotes. The user name and password of an address become `***`."""
    safe = _USER_INFO.sub(r"\1***@", text)
    cut = safe if len(safe) <= _MAX_LENGTH else f"{safe[: _MAX_LENGTH - 1]}…"
    return visible(cut)


def visible(text: str) -> str:
    """The whole text, with what cannot be printed as escapes."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def visible_lines(text: str) -> str:
    """As `visible`, but keeps the ends of lines."""
    return "\n".join(map(visible, text.split("\n")))


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


# -------------------------------------------------------------------------------------------------
# One problem, and all of a file.

Severity = Literal["error", "warning"]

MAX_PROBLEMS = 100
OVERRIDE_PREFIX = "--set "
# YAML counts these as the end of a line, so that columns and lines agree with the parser's.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. Lines and columns count from 1; `end_column` is the column after the last one.

    `hint` says what was expected, `suggestion` is a word that was probably meant, `rule` names the
    kind of problem. `source_line` is the line as written, for a problem in the file, with secrets
    masked. No text here ever holds a secret or the value of an environment variable.
    """

    file: str
    line: int = 1
    column: int = 1
    end_column: int = 2
    message: str
    hint: str = ""
    suggestion: str = ""
    rule: str
    severity: Severity = "error"
    source_line: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """Message, hint and suggestion on one line, without what a terminal would obey."""
        parts = [self.message]
        if self.hint:
            parts.append(self.hint)
        if self.suggestion:
            parts.append(f"did you mean '{self.suggestion}'?")
        return visible_lines("; ".join(parts))

    @property
    def in_override(self) -> bool:
        """True where the problem lies in a `--set`, not in the file."""
        return self.file.startswith(OVERRIDE_PREFIX)

    def __str__(self) -> str:
        place = f"{visible(self.file)}:{self.line}:{self.column}"
        return f"{place}: {self.severity}: {self.text} [{self.rule}]"


class SpecError(HpsError):
    """An experiment file with problems: all of them, in the order of their places."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def lines(text: str) -> list[str]:
    """The lines of a text, as YAML counts them, without their ends."""
    return _LINE_END.split(text)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, by place, the file's before those of overrides.

    Of more than `MAX_PROBLEMS` the first, and a last one that says so.
    """
    ordered = sorted(dict.fromkeys(problems), key=_place)
    if len(ordered) <= MAX_PROBLEMS:
        return tuple(ordered)
    shown = ordered[:MAX_PROBLEMS]
    last = shown[-1]
    more = Problem(
        file=last.file,
        line=last.line,
        column=last.column,
        end_column=last.end_column,
        message=f"only the first {MAX_PROBLEMS} problems are shown",
        hint="mend these first",
        rule="too-many-problems",
    )
    return (*shown, more)


def _place(problem: Problem) -> tuple[bool, str, int, int, str]:
    return problem.in_override, problem.file, problem.line, problem.column, problem.rule


# -------------------------------------------------------------------------------------------------
# Problems as text for people, data for programs, and annotations for GitHub's workflows.

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
    """For programs: every field of each `Problem` but the source line, which is only shown."""
    return [_fields(problem) for problem in problems]


def to_github(problems: Iterable[Problem]) -> str:
    """One workflow command per problem, which GitHub shows beside the line."""
    return "".join(f"{_annotation(problem)}\n" for problem in problems)


def _fields(problem: Problem) -> dict[str, object]:
    found = {key: value for key, value in asdict(problem).items() if key != "source_line"}
    return {k: visible_lines(v) if isinstance(v, str) else v for k, v in found.items()}


def _painted(problem: Problem) -> str:
    tone = _RED if problem.severity == "error" else _YELLOW
    place = f"{_BOLD}{visible(problem.file)}:{problem.line}:{problem.column}:{_RESET}"
    severity = f"{_BOLD}{tone}{problem.severity}:{_RESET}"
    return f"{place} {severity} {problem.text} {_DIM}[{problem.rule}]{_RESET}"


def _excerpt(problem: Problem, colour: bool) -> Iterator[str]:
    """The line, cut around the problem where it is long, and a caret below."""
    begin = 0 if problem.column <= _MAX_WIDTH else problem.column - _BEFORE_CARET
    cut = problem.source_line[begin : begin + _MAX_WIDTH]
    visible = "".join(char if char.isprintable() else " " for char in cut)
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
