"""Measured blocks -> tables, and what is wrong with them. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.grid import MIB
from bench.link.settings import WAYS, Way
from bench.settings.gain import Gain, Rates, gain, mean
from bench.tools.cases import CHUNK_MIB, EQUAL, LEAVES_OUT, OWN, STREAMS, Case

Data = Mapping[str, Any]
BASE = "rclone"
_HEADERS = (
    *("tool", "terms", "way", "Mbps", f"times {BASE}", "begins s", "CPU s", "MiB", "again"),
    "status",
)
_WIDTH = 100
_WORST = ("failed", "timeout", "invalid", "skipped", "interrupted")
_NOTE = (
    f"Terms: {EQUAL} is {STREAMS} chunks of {CHUNK_MIB} MiB in flight, or {STREAMS} files, and no "
    f"checksum where a tool can leave it out; {OWN} is what the tool does when it is told nothing "
    f"({' and '.join(LEAVES_OUT)}: no checksum, since over HTTPS the server takes none of theirs). "
    "Mbps: geometric means over the blocks, of whole processes. "
    f"Times {BASE}: on the same terms, ratios within blocks, with 95 % intervals where there are "
    "several. Begins: from the start of the process until its connections moved payload, median, "
    "within 0.04 s; part of Mbps. CPU: the tool's own seconds, median. MiB: its memory at most. "
    "Again: requests sent once more in all blocks; -: not known."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one tool did one way on the same terms, a transfer for each block."""

    tool: str
    terms: str
    way: Way
    transfers: Sequence[Data]

    @property
    def rates(self) -> Rates:
        """Mbps; None where the transfer failed, or is void."""
        return [None if one["why"] else one["mbps"] for one in self.transfers]

    @property
    def name(self) -> str:
        """`s5cmd, equal, up`."""
        return f"{self.tool}, {self.terms}, {self.way}"

    @property
    def status(self) -> str:
        """The worst of all; void where nothing but the machine is to blame."""
        found = {one["status"] for one in self.transfers}
        worst = next((status for status in _WORST if status in found), "")
        return worst or ("void" if any(one["void"] for one in self.transfers) else "ok")


def rows(tools: Sequence[str], blocks: Sequence[Data]) -> list[Row]:
    """All rows of a case, told and not told; those of one tool together."""
    found: dict[tuple[str, str, Way], list[Data]] = {
        (tool, terms, way): [] for terms in (EQUAL, OWN) for tool in tools for way in WAYS
    }
    for block in blocks:
        for one in block["transfers"]:
            found[one["tool"], one["terms"], one["way"]].append(one)
    return [
        Row(tool=tool, terms=terms, way=way, transfers=transfers)
        for (tool, terms, way), transfers in found.items()
    ]


def text(
    measured: Sequence[tuple[Case, Sequence[Data]]],
    tools: Mapping[str, str],
    missing: Mapping[str, str],
) -> str:
    """A table for each case. `tools`: names and versions; `missing`: why others are left out."""
    versions = ", ".join(f"{name} {version}" for name, version in tools.items())
    absent = [f"- Left out: {name}: {why}." for name, why in missing.items()]
    parts = [
        f"{versions}.",
        "\n".join(absent),
        *(part for case, blocks in measured for part in _of_case(case, rows([*tools], blocks))),
        textwrap.fill(_NOTE, _WIDTH),
    ]
    return "\n\n".join(part for part in parts if part)


def failures(case: Case, blocks: Sequence[Data], tools: Sequence[str]) -> Iterator[str]:
    """What keeps a case from being published: what failed, is void, or a link lost unseen.

    What a tool can't be told is none of that, and where requests are made to fail, nor is that a
    tool fails: the tables tell it.
    """
    for row in rows(tools, blocks):
        for one in row.transfers:
            told = one["status"] == "skipped" or (case.unkind and not one["void"])
            if one["why"] and not told:
                yield f"{case.name}, {row.name}: {one['why']}"
    drops = sum(block["kernel_drops"] for block in blocks)
    if drops:
        yield f"{case.name}: {drops} packets were dropped before the link"


def _of_case(case: Case, found: Sequence[Row]) -> Iterator[str]:
    bases = {(row.terms, row.way): row for row in found if row.tool == BASE}
    lines = [_line(row, bases.get((row.terms, row.way))) for row in found]
    count = f"{case.blocks} block{'' if case.blocks == 1 else 's'}"
    unkind = ", one request in 100 answered by 503" if case.unkind else ""
    yield f"**{case.name}**, {count}{unkind}:"
    yield drawn([_HEADERS, *lines])
    yield "\n".join([*_by_itself(found), *_wrong(found)])


def _line(row: Row, base: Row | None) -> list[str]:
    rate = mean(row.rates)
    return [
        row.tool,
        row.terms,
        row.way,
        "-" if rate is None else f"{rate:.1f}",
        "1" if row is base else _times(row, base),
        _over(row, "first_payload_s", median, "{:.2f}"),
        _over(row, "cpu_s", median, "{:.2f}"),
        _over(row, "peak_memory_bytes", lambda peaks: max(peaks) / MIB, "{:.0f}"),
        _over(row, "retries", sum, "{:.0f}"),
        row.status,
    ]


def drawn(lines: Sequence[Sequence[str]]) -> str:
    """In Markdown, with no more room in a column than it needs, so that ten fit."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head, *body = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def _times(row: Row, base: Row | None) -> str:
    found = gain(row.rates, base.rates) if base is not None else None
    return "-" if found is None else _short(found)


def _short(found: Gain) -> str:
    """`1.52 (1.44-1.61)`, or the ratio alone."""
    ratio, _, interval = found.text().partition(" ")
    return f"{ratio} {interval.replace(' to ', '-')}".strip()


def _over(row: Row, field: str, fold: Callable[[list[float]], float], form: str) -> str:
    """One figure of all transfers that have it."""
    values = [one[field] for one in row.transfers if one[field] is not None]
    return form.format(fold(values)) if values and row.status != "skipped" else "-"


def _by_itself(found: Sequence[Row]) -> Iterator[str]:
    """What was seen of tools that were told nothing, in the last block."""
    for up in found:
        if (up.terms, up.way) != (OWN, "up"):
            continue
        both = [row for row in found if (row.tool, row.terms) == (up.tool, OWN)]
        seen = [f"{row.way} {_seen(row.transfers[-1])}" for row in both if row.rates[-1:] != [None]]
        if seen:
            yield f"- {up.tool} by itself: {', '.join(seen)}."


def _seen(transfer: Data) -> str:
    observed = transfer["observed"]
    size_bytes, connections = observed["chunk_size_bytes"], observed["connections"]
    chunks = f"{observed['chunks']} x {size_bytes / MIB:.4g} MiB over " if size_bytes else ""
    return f"{chunks}{connections} connection{'' if connections == 1 else 's'}"


def _wrong(found: Sequence[Row]) -> Iterator[str]:
    """What was not as it should be, each thing once; how often, where there are several blocks."""
    for row in found:
        said = [one["why"] for one in row.transfers if one["why"]]
        for why in dict.fromkeys(said):
            yield f"- {row.name}, {said.count(why)} of {len(row.transfers)}: {why}"
