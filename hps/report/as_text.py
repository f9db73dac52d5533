"""A comparison as text: the answer, how sure it is, the tables, who was left out, provenance."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from hps.compare.comparison import Findings
from hps.compare.gates import GateResult
from hps.errors import printable
from hps.report import answer, tables
from hps.report.tables import Table

WIDTH = 100
_HARD_SPACE = "\xa0"
MOST_TABLES = 12


def render(
    findings: Findings, gates: Sequence[GateResult] = (), *, table_format: str = "simple"
) -> str:
    """Several paragraphs and tables; `table_format` is any of tabulate's formats."""
    parts = [_section("Answer", answer.answers(findings))]
    parts.append(_section("Gates", answer.gate_lines(gates)))
    parts.append(_section("How sure", answer.certainty(findings)))
    if findings.comparisons:
        parts.append(_wrapped(tables.LEGEND, ""))
    parts += _tables(findings, table_format)
    parts.append(_section("Left out", answer.omitted(findings)))
    parts.append("\n".join(_wrapped(line, "  ") for line in answer.provenance(findings) if line))
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(_wrapped(line, "    ", "  ") for line in lines)]) if lines else ""


def _tables(findings: Findings, table_format: str) -> Iterator[str]:
    shown = findings.comparisons[:MOST_TABLES]
    for table in tables.changes(findings)[:MOST_TABLES]:
        yield _titled(table, table_format)
    for comparison in shown:
        yield _titled(tables.cells(comparison, findings.by), table_format)
        pairs = tables.pairs(comparison)
        if pairs is not None:
            yield _titled(pairs, table_format)
    more = len(findings.comparisons) - len(shown)
    if more:
        yield f"… and the tables of {more:,} more (--format json has them all)"


def _titled(table: Table, table_format: str) -> str:
    notes = (_wrapped(note, "  ") for note in table.notes)
    return "\n".join([printable(table.title), *table.drawn(table_format, printable), *notes])


def _wrapped(line: str, further: str, first: str = "") -> str:
    """Lines of at most 100 characters. Blanks at the start stay: they belong to the line above."""
    own = line[: len(line) - len(line.lstrip(" "))]
    return textwrap.fill(
        printable(line.strip()).replace(" %", f"{_HARD_SPACE}%"),
        width=WIDTH,
        initial_indent=first + own,
        subsequent_indent=further + own,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(_HARD_SPACE, " ")
