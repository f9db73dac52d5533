"""The lines that problems are shown with, as written but for secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hps.spec.compose import compose
from hps.spec.problems import Problem, SpecError
from hps.spec.secret_values import mask_lines
from hps.spec.source import SpecText, decode, lines


def with_source_lines(problems: Iterable[Problem], source: SpecText) -> Iterator[Problem]:
    """The same problems; those in the file with their line, in which secrets are masked."""
    masked = _masked_lines(source)
    for problem in problems:
        if problem.file == source.name and problem.line <= len(masked):
            yield replace(problem, source_line=masked[problem.line - 1])
        else:
            yield problem


def _masked_lines(source: SpecText) -> list[str]:
    try:
        text = decode(source)
    except SpecError:
        # What is no text has no lines to show.
        return []
    return mask_lines(lines(text), compose(text, source.name).root)
