"""On which links, with which files and how often the tools are compared. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import grid
from bench.grid import MIB
from bench.link import LinkSettings
from bench.link.settings import WAYS
from bench.tools.tool import Terms
from hps.errors import HpsError

LOOPBACK = "loopback"
LINKS: Mapping[str, LinkSettings | None] = {
    "10ms": grid.make(10, (300, 300), 0.0),
    "80ms": grid.make(80, (130, 240), 0.0),
    "150ms": grid.make(150, (300, 300), 0.0),
    LOOPBACK: None,
}
LARGE_BYTES = 512 * MIB
# Large files take a minute and more for each tool: they get a third of the blocks.
_LARGE_SHARE = 3
# Processes start and end, what came down is compared, what was sent is deleted.
_AROUND_S = 2.5
_LOOPBACK_MBPS = 400.0
_LEAST_CHUNK_BYTES = 5 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One link (None: loopback), one size of file, and in how many blocks every tool has a turn."""

    link: LinkSettings | None
    size_bytes: int
    blocks: int

    @property
    def name(self) -> str:
        """That of the link, and the size."""
        link = LOOPBACK if self.link is None else grid.name_of(self.link)
        return f"{link}, {self.size_bytes // MIB} MiB"

    def key(self, terms: Terms, block: int, seed: int) -> dict[str, Any]:
        """What tells a block from every other; plain data."""
        return {
            "link": None if self.link is None else asdict(self.link),
            "size_bytes": self.size_bytes,
            "terms": asdict(terms),
            "block": block,
            "seed": seed,
        }

    def transfer_s(self, terms: Terms) -> float:
        """About how long one tool takes, both ways together."""
        if self.link is None:
            return len(WAYS) * self.size_bytes * 8 / 1e6 / _LOOPBACK_MBPS
        return sum(
            grid.expected_s(self.link, way, terms.concurrency, self.size_bytes) for way in WAYS
        )

    def block_s(self, terms: Terms, tools: int) -> float:
        """About how long so many tools take."""
        return tools * (_AROUND_S + self.transfer_s(terms))


def choose(
    links: Sequence[str], sizes_bytes: Iterable[int], blocks: int, *, everywhere: bool
) -> list[Case]:
    """Each size on each link; large files on the first link alone, and in a third of the blocks.

    `everywhere`: they are like all others. Raises `HpsError` for a link that is none of these.
    """
    unknown = next((name for name in links if name not in LINKS), None)
    if unknown is not None:
        raise HpsError(f"there is no link '{unknown}'", f"there are {', '.join(LINKS)}")
    return [
        Case(link=LINKS[name], size_bytes=size_bytes, blocks=count)
        for size_bytes in sizes_bytes
        for name, count in _turns(links, size_bytes, blocks, everywhere=everywhere)
    ]


def check_terms(terms: Terms, sizes_bytes: Iterable[int]) -> None:
    """Raises `HpsError` where not every tool could follow them, or no file has enough chunks."""
    if terms.chunk_bytes < _LEAST_CHUNK_BYTES or terms.chunk_bytes % MIB:
        raise HpsError(
            "chunks are whole MiB, and at least 5", "S3 takes no less, s5cmd nothing in between"
        )
    if terms.concurrency < 1:
        raise HpsError("at least one chunk has to be in flight", "--concurrency 10")
    if min(sizes_bytes) < terms.concurrency * terms.chunk_bytes:
        raise HpsError(f"a file has too few chunks for {terms.text}", "take a larger --sizes")


def order(names: Sequence[str], case: Case, block: int, seed: int) -> list[str]:
    """The tools as their turns come in a block."""
    shuffled = list(names)
    random.Random(f"{seed}-{case.name}-{block}").shuffle(shuffled)
    return shuffled


def check_bytes(terms: Terms) -> int:
    """A file to look at tools with: half as many chunks again as in flight, and a shorter one."""
    return (terms.concurrency + (terms.concurrency + 1) // 2) * terms.chunk_bytes + MIB


def _turns(
    links: Sequence[str], size_bytes: int, blocks: int, *, everywhere: bool
) -> list[tuple[str, int]]:
    if everywhere or size_bytes < LARGE_BYTES:
        return [(name, blocks) for name in links]
    return [(links[0], max(1, blocks // _LARGE_SHARE))]
