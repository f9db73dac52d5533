"""Findings -> tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from bench import grid
from bench.link.settings import WAYS, Way
from bench.settings.gain import mean
from bench.tools.cases import Case
from bench.tools.findings import Data, Findings
from bench.tools.seen import Seen, expected
from bench.tools.tool import Tool

_WIRE_HEADERS = ("tool", "version", "is told by", "up, on the wire", "down, on the wire",
                 "starts in, s")  # fmt: skip
_WIRE_NOTE = (
    "Every tool was told {terms}; this is what a proxy recorded on loopback, before anything was "
    "timed. To start is to load and to end again, with nothing moved: median of three."
)
_NOTE = (
    "Mbps: geometric means over the blocks, of whole processes. Of link: of what its rate leaves "
    "for payload. Times {first}: ratios within blocks, with 95 % intervals where there are several "
    "blocks; none for a tool on other terms. At once: the most chunks in flight in these very "
    "transfers. CPU: the tool's own seconds, median, up and down."
)


def text(found: Findings, missing: Mapping[str, str]) -> str:
    """What each tool does on the wire, and a table for each case."""
    untold = [f"- {tool.name} can't be told {tool.untold}." for tool in found.tools if tool.untold]
    absent = [f"- Left out: {name}: {why}." for name, why in missing.items()]
    parts = [
        _table([_wire_row(found, tool) for tool in found.tools], _WIRE_HEADERS),
        _WIRE_NOTE.format(terms=found.terms.text),
        "\n".join([*untold, *absent]),
        *(_of_case(found, case, blocks) for case, blocks in found.measured),
        _NOTE.format(first=found.tools[0].name),
    ]
    return "\n\n".join(part for part in parts if part)


def _wire_row(found: Findings, tool: Tool) -> list[str]:
    starts = f"{found.check_of(tool)['start_s']:.2f}"
    seen = [_on_wire(found, tool, way) for way in WAYS]
    return [tool.name, tool.version, tool.told_by or "nothing", *seen, starts]


def _on_wire(found: Findings, tool: Tool, way: Way) -> str:
    check = found.check_of(tool)
    if way not in check:
        return ""
    if check[way]["why"]:
        return "failed"
    seen = Seen(**check[way]["seen"]).text
    told = expected(found.terms, check["size_bytes"]).text
    return f"{seen}; **not {told}**" if found.off_on_wire(tool, way) else seen


def _of_case(found: Findings, case: Case, blocks: Sequence[Data]) -> str:
    headers = ["tool"]
    for way in WAYS:
        headers += [f"{way}, Mbps", *(["of link"] if case.link else []),
                    f"times {found.tools[0].name}"]  # fmt: skip
    rows = [
        [
            tool.name,
            *(cell for way in WAYS for cell in _of_way(found, case, blocks, tool, way)),
            _at_once(found, blocks, tool),
            _cpu(found, blocks, tool),
        ]
        for tool in found.tools
        if tool.timed
    ]
    count = f"{case.blocks} block{'' if case.blocks == 1 else 's'}"
    whole = f"**{case.name}**, {count}:\n\n{_table(rows, [*headers, 'at once', 'CPU, s'])}"
    off = [
        f"- On other terms: {tool.name}, {way}: {', '.join(texts)}."
        for tool in found.tools
        for way in WAYS
        if (texts := found.off_in(case, blocks, tool, way))
    ]
    return "\n\n".join(part for part in (whole, "\n".join(off)) if part)


def _of_way(found: Findings, case: Case, blocks: Sequence[Data], tool: Tool, way: Way) -> list[str]:
    mbps = mean(found.rates(case, blocks, tool, way))
    ratio = found.ratio(case, blocks, tool, way)
    cells = ["failed" if mbps is None else f"{mbps:.1f}"]
    if case.link:
        share = None if mbps is None else mbps / grid.payload_mbps(case.link, way)
        cells.append("" if share is None else f"{100 * share:.0f} %")
    if tool is found.tools[0]:
        return [*cells, "1"]
    return [*cells, "" if ratio is None else ratio.text()]


def _at_once(found: Findings, blocks: Sequence[Data], tool: Tool) -> str:
    peaks = [
        transfer["seen"]["in_flight"]
        for way in WAYS
        for transfer in found.transfers(blocks, tool, way)
    ]
    low, high = min(peaks, default=0), max(peaks, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def _cpu(found: Findings, blocks: Sequence[Data], tool: Tool) -> str:
    used = [found.cpu_s(blocks, tool, way) for way in WAYS]
    return ", ".join("" if one is None else f"{one:.2f}" for one in used)


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
