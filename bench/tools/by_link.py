"""Measured cases of one file -> what each tool carries over each link: the README's table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.grid import MIB
from bench.link.settings import WAYS
from bench.settings.gain import Rates, mean
from bench.tools.cases import EQUAL, LINKS, OWN, Case
from bench.tools.table import Data, Row, drawn, rows

# Of this size the README tells.
SIZE_BYTES = 200 * MIB
NOTE = (
    f"Mbps up / down of {SIZE_BYTES // MIB} MiB, whole processes, geometric means.\n"
    "**Bold**: no other tool was at least 5 % above it in every block."
)
LINK_NAMES = {
    name: f"{1000 * link.rtt_s:g} ms, {link.up_mbps:g}/{link.down_mbps:g}"
    for name, link in LINKS.items()
    if link is not None
}
_CLEARLY = 1.05
Measured = Sequence[tuple[Case, Sequence[Data]]]


def text(measured: Measured, tools: Iterable[str]) -> str:
    """The table, a column for each link; nothing where no such file is measured."""
    names = list(tools)
    cases = [(case, rows(names, blocks)) for case, blocks in measured if is_plain(case)]
    if not cases:
        return ""
    heads = ["tool", "told", *(LINK_NAMES[case.link] for case, _ in cases)]
    lines = [
        [name, _TERMS[terms], *(_cell(name, terms, found) for _, found in cases)]
        for terms in (EQUAL, OWN)
        for name in names
    ]
    return f"{drawn([heads, *lines])}\n\n{NOTE}"


def is_plain(case: Case) -> bool:
    """One file of the README's size, over an emulated link where no request is made to fail."""
    plain = case.files == 1 and case.size_bytes == SIZE_BYTES and not case.unkind
    return plain and LINKS[case.link] is not None


def entries(measured: Measured, tools: Mapping[str, str]) -> list[dict[str, Any]]:
    """What the tables are made of, as `bench/raw` keeps it: a line for each case."""
    return [
        {"case": asdict(case), "tools": dict(tools), "blocks": list(blocks)}
        for case, blocks in measured
    ]


_TERMS = {EQUAL: "equal", OWN: "nothing"}


def _cell(tool: str, terms: str, found: Sequence[Row]) -> str:
    return " / ".join(_rate(tool, terms, way, found) for way in WAYS)


def _rate(tool: str, terms: str, way: str, found: Sequence[Row]) -> str:
    of_all = {row.tool: row.rates for row in found if (row.terms, row.way) == (terms, way)}
    rate = mean(of_all[tool])
    if rate is None:
        return "-"
    is_below = any(_is_above(other, of_all[tool]) for other in of_all.values())
    return f"{rate:.0f}" if is_below else f"**{rate:.0f}**"


def _is_above(rates: Rates, others: Rates) -> bool:
    pairs = list(zip(rates, others, strict=True))
    return bool(pairs) and all(one and other and one > _CLEARLY * other for one, other in pairs)
