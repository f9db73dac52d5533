"""A comparison in GitHub's Markdown, for pull requests: gates first, the rest folded away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hps.compare.comparison import Findings
from hps.compare.gates import GateResult
from hps.errors import printable
from hps.report import answer, tables
from hps.report.tables import Table

# GitHub cuts a summary of more than 1 MiB, and refuses a comment of more than 65,536 characters.
MOST_TABLES = 8
# What Markdown and HTML give a meaning to, in or outside of a table.
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_LINKING = re.compile(r"[@#]|:(?=//)|www(?=\.)", re.IGNORECASE)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_OUTCOMES = (
    ("fail", "failed"),
    ("no data", "without data"),
    ("inconclusive", "inconclusive"),
    ("pass", "passed"),
)


def render(findings: Findings, gates: Sequence[GateResult] = ()) -> str:
    """The outcome of gates, the answers and the tables; what backs them stands in `<details>`."""
    parts = [f"## {_title(gates)}"]
    if gates:
        parts.append(_table(tables.gates(gates)))
    parts += ["### Answer", _listed(answer.answers(findings))]
    parts += _tables(findings)
    parts += _details("How sure", [_listed(answer.certainty(findings))])
    parts += _details("Pairs", _pairs(findings))
    parts += _details("Left out", [_listed(answer.omitted(findings))])
    parts += _details("Where the numbers come from", [_listed(answer.provenance(findings))])
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no mention of anybody."""
    plain = _MARKUP.sub(lambda match: f"\\{match[0]}", printable(text))
    safe = "".join(_HTML.get(one, one) for one in plain)
    # GitHub would notify whom an "@" names, and make links of "#1" and of addresses.
    return _LINKING.sub(lambda match: f"{match[0]}\u200b", safe)


def _title(gates: Sequence[GateResult]) -> str:
    if not gates:
        return "hps compare"
    outcomes = [result.outcome for result in gates]
    counts = [f"{outcomes.count(kind)} {word}" for kind, word in _OUTCOMES if kind in outcomes]
    return f"hps compare: {', '.join(counts)}"


def _tables(findings: Findings) -> Iterator[str]:
    shown = findings.comparisons[:MOST_TABLES]
    drawn = list(tables.changes(findings)[:MOST_TABLES])
    drawn += [tables.cells(comparison, findings.by) for comparison in shown]
    yield from map(_titled, drawn)
    more = len(findings.comparisons) - len(shown)
    if more:
        yield f"… and the tables of {more:,} more"
    if shown:
        yield f"<sub>{escaped(tables.LEGEND)}</sub>"


def _pairs(findings: Findings) -> list[str]:
    found = (tables.pairs(comparison) for comparison in findings.comparisons[:MOST_TABLES])
    return [_titled(table) for table in found if table]


def _titled(table: Table) -> str:
    return f"**{escaped(table.title)}**\n\n{_table(table)}"


def _table(table: Table) -> str:
    return "\n\n".join([*table.drawn("pipe", escaped), *map(escaped, table.notes)])


def _listed(lines: Sequence[str]) -> str:
    """The lines as a list; a line that begins with blanks belongs to the one above."""
    return "\n".join(
        f"{'  ' if line.startswith(' ') else ''}- {escaped(line.strip())}" for line in lines if line
    )


def _details(title: str, parts: Sequence[str]) -> Iterator[str]:
    """GitHub reads Markdown inside of `<details>` only after an empty line."""
    inner = "\n\n".join(part for part in parts if part)
    if inner:
        yield f"<details><summary>{title}</summary>\n\n{inner}\n\n</details>"
