"""A problem in an experiment file: where it is, what is wrong, what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from hps.errors import HpsError
from hps.spec.quote import visible, visible_lines

Severity = Literal["error", "warning"]

MAX_PROBLEMS = 100
OVERRIDE_PREFIX = "--set "


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
        """What is wrong, what was expected, and what was probably meant, on one line.

        Nothing in it is obeyed by a terminal.
        """
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


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem once, by place; the file's before those of overrides; at most `MAX_PROBLEMS`."""
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
