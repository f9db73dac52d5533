"""What was seen and measured, and what is to be thought of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.link.settings import Way
from bench.settings.gain import Gain, gain
from bench.tools.cases import Case
from bench.tools.seen import Seen, differences, expected
from bench.tools.tool import Terms, Tool

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What came of a run, as it was stored: a check for each tool, blocks for each case.

    The first tool is the one that the others are compared with.
    """

    terms: Terms
    tools: Sequence[Tool]
    checks: Sequence[Data]
    measured: Sequence[tuple[Case, Sequence[Data]]]

    def check_of(self, tool: Tool) -> Data:
        """What was seen of a tool before anything was timed."""
        return next(check for check in self.checks if check["name"] == tool.name)

    def off_on_wire(self, tool: Tool, way: Way) -> tuple[str, ...]:
        """What it then did in another way than it was told; nothing where all is as told."""
        check = self.check_of(tool)
        if way not in check:
            return ()
        if check[way]["why"]:
            return (check[way]["why"],)
        told = expected(self.terms, check["size_bytes"])
        return tuple(differences(Seen(**check[way]["seen"]), told, gathered=True))

    def transfers(self, blocks: Sequence[Data], tool: Tool, way: Way) -> list[Data]:
        """Those of one tool, one for each block."""
        return [
            transfer
            for block in blocks
            for transfer in block["transfers"]
            if (transfer["tool"], transfer["way"]) == (tool.name, way)
        ]

    def rates(self, case: Case, blocks: Sequence[Data], tool: Tool, way: Way) -> list[float | None]:
        """Mbps, one for each block; None where the transfer failed."""
        found: list[float | None] = []
        for block in blocks:
            done = self.transfers([block], tool, way)
            good = done and not done[0]["why"]
            found.append(case.size_bytes * 8 / 1e6 / done[0]["duration_s"] if good else None)
        return found

    def ratio(self, case: Case, blocks: Sequence[Data], tool: Tool, way: Way) -> Gain | None:
        """Over the first tool, within blocks; None on other terms, or where nothing can be said."""
        first = self.tools[0]
        if any(self._on_other_terms(case, blocks, one, way) for one in (tool, first)):
            return None
        return gain(self.rates(case, blocks, tool, way), self.rates(case, blocks, first, way))

    def cpu_s(self, blocks: Sequence[Data], tool: Tool, way: Way) -> float | None:
        """The median of the tool's own CPU seconds."""
        used = [transfer["cpu_s"] for transfer in self.transfers(blocks, tool, way)]
        return median(used) if used else None

    def off_in(self, case: Case, blocks: Sequence[Data], tool: Tool, way: Way) -> tuple[str, ...]:
        """What it did in another way than it was told while it was timed, each thing once."""
        done = self.transfers(blocks, tool, way)
        said = [text for one in done if not one["why"] for text in self._off(case, one)]
        return tuple(dict.fromkeys(said))

    def failures(self) -> Iterator[str]:
        """What failed, what wasn't as told though it can be told, and what a link lost unseen."""
        for tool in self.tools:
            for way in tool.ways:
                for off in self.off_on_wire(tool, way):
                    if not tool.untold or self.check_of(tool)[way]["why"]:
                        yield f"on the wire, {tool.name}, {way}: {off}"
        for case, blocks in self.measured:
            yield from self._failures_of(case, blocks)

    def _failures_of(self, case: Case, blocks: Sequence[Data]) -> Iterator[str]:
        for tool in self.tools:
            for way in tool.ways:
                for transfer in self.transfers(blocks, tool, way):
                    why = transfer["why"]
                    off = [] if tool.untold or why else self._off(case, transfer)
                    for text in [why] if why else off:
                        yield f"{case.name}, {tool.name}, {way}: {text}"
        drops = sum(block["kernel_drops"] for block in blocks)
        if drops:
            yield f"{case.name}: {drops} packets were dropped before the link"

    def _on_other_terms(self, case: Case, blocks: Sequence[Data], tool: Tool, way: Way) -> bool:
        return bool(self.off_on_wire(tool, way) or self.off_in(case, blocks, tool, way))

    def _off(self, case: Case, transfer: Data) -> list[str]:
        told = expected(self.terms, case.size_bytes)
        return list(differences(Seen(**transfer["seen"]), told, gathered=False))
