"""On which links, with which files and how often the tools are compared, and each experiment. Pure.

A block is a run of `hps` of its own, in an order by chance, so that a block can be measured again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import grid
from bench.grid import MIB
from bench.link import LinkSettings
from bench.link.settings import WAYS
from hps.catalog.tools import TOOL_FACTS
from hps.errors import HpsError
from hps.model import DEFAULT
from hps.units import parse_size_bytes

# The server that all are tried with speaks S3, and all can be told the same.
NAMES = tuple(
    name for name, facts in TOOL_FACTS.items() if "s3" in facts.speaks and not facts.whole_only
)
LOOPBACK = "loopback"
LINKS: Mapping[str, LinkSettings | None] = {
    "10ms": grid.make(10, (300, 300), 0.0),
    "80ms": grid.make(80, (130, 240), 0.0),
    "150ms": grid.make(150, (300, 300), 0.0),
    LOOPBACK: None,
}
EQUAL, OWN = "equal", "own"
CHUNK_MIB, STREAMS = 10, 10
# Over HTTPS these send checksums after the body, which `rclone serve s3` refuses.
LEAVES_OUT = ("boto3", "aws")
# More takes a tool minutes: such cases get the first link, and a third of the blocks.
_LARGE_BYTES, _LARGE_SHARE = 512 * MIB, 3
_FILES = re.compile(r"(?:(\d{1,6})x)?(.+)")
# Processes start and end, what came down is verified, what was sent is deleted; and the run itself.
_AROUND_S, _A_RUN_S = 4.0, 4.0
_LOOPBACK_MBPS = 300.0
_SLOWER, _BASE_TIMEOUT_S = 8.0, 120.0
_TEMPLATE = """\
api: hps/v1
name: {name}
description: Which tool moves files fastest, with the same chunks and streams, and as it comes?
targets:
{target}
  kept: {{provider: embedded}}
results: {{target: kept}}
node: {{on_unknown: accept, probe: {{method: none}}}}
data: {{size: {size_bytes}B, files: {files}}}
matrix:
  equal:
    zip:
      tool: [{tools}]
      checksum: [{checksums}]
      chunk_size: [{chunk_sizes}]
      concurrency: [{concurrencies}]
      transfers: [{transfers}]
  include:
{own}
order: {{kind: random_blocks, seed: {seed}}}
timeout: {timeout_s:.0f}s
steps: [upload, download, verify, delete]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One of `LINKS`, what is moved over it, and in how many blocks each tool has a turn.

    `unkind`: one in a hundred requests with data is answered by a 503.
    """

    link: str
    size_bytes: int
    files: int = 1
    blocks: int
    unkind: bool = False

    @property
    def name(self) -> str:
        """That of the link, and what is moved."""
        link = LINKS[self.link]
        files = "" if self.files == 1 else f"{self.files:,} files of "
        place = LOOPBACK if link is None else grid.name_of(link)
        return f"{place}, {files}{self.size_bytes // MIB} MiB"

    @property
    def experiment(self) -> str:
        """Under which name its results are stored."""
        files = "" if self.files == 1 else f"{self.files}x"
        return (
            f"{'unkind' if self.unkind else 'tools'}-{self.link}-{files}{self.size_bytes // MIB}mib"
        )

    def key(self, tools: Mapping[str, str], block: int, seed: int) -> dict[str, Any]:
        """What tells a block from every other; plain data. `tools`: names and versions."""
        link = LINKS[self.link]
        told = {"tools": dict(tools), "block": block, "seed": seed}
        mine = {name: value for name, value in asdict(self).items() if name != "blocks"}
        return {**mine, "link": link and asdict(link), **told}

    def block_s(self, tools: int) -> float:
        """About how long so many tools take, told and not told."""
        return _A_RUN_S + 2 * tools * (_AROUND_S + self._both_ways_s())

    def timeout_s(self, tools: int) -> float:
        """For how long a block may last at most."""
        return _BASE_TIMEOUT_S + _SLOWER * self.block_s(tools)

    def text(self, target: str, tools: Sequence[str], seed: int) -> str:
        """The experiment of one block; `target` is a line of its targets."""
        many = self.files > 1
        columns = {
            "tools": tools,
            "checksums": [_least_checksum(tool) for tool in tools],
            "chunk_sizes": [f"{CHUNK_MIB}MiB"] * len(tools),
            "concurrencies": [1 if many else STREAMS] * len(tools),
            "transfers": [STREAMS if many else 1] * len(tools),
        }
        return _TEMPLATE.format(
            name=self.experiment,
            target=target,
            size_bytes=self.size_bytes,
            files=self.files,
            own="\n".join(f"    - {{{_own(tool)}}}" for tool in tools),
            seed=seed,
            timeout_s=_BASE_TIMEOUT_S + _SLOWER * self._both_ways_s(),
            **{name: ", ".join(map(str, values)) for name, values in columns.items()},
        )

    def _both_ways_s(self) -> float:
        link, size_bytes = LINKS[self.link], self.size_bytes * self.files
        if link is None:
            return len(WAYS) * size_bytes * 8 / 1e6 / _LOOPBACK_MBPS
        return sum(grid.expected_s(link, way, STREAMS, size_bytes) for way in WAYS)


def choose(links: Sequence[str], sizes: Iterable[str], blocks: int, *, unkind: bool) -> list[Case]:
    """Each size on each link; large ones on the first link alone, and in a third of the blocks.

    A size is `200MiB`, or `1000x1MiB` for so many files. Raises `HpsError` for what is neither, and
    for a link that is none of these.
    """
    unknown = next((name for name in links if name not in LINKS), None)
    if unknown is not None:
        raise HpsError(f"there is no link '{unknown}'", f"there are {', '.join(LINKS)}")
    chosen = []
    for size in sizes:
        files, size_bytes = _files_and_size(size)
        large = files * size_bytes >= _LARGE_BYTES
        chosen += [
            Case(
                link=link,
                size_bytes=size_bytes,
                files=files,
                blocks=max(1, blocks // _LARGE_SHARE) if large else blocks,
                unkind=unkind,
            )
            for link in (links[:1] if large else links)
        ]
    return chosen


def _files_and_size(text: str) -> tuple[int, int]:
    found = _FILES.fullmatch(text)
    assert found is not None  # the second group takes all
    files, size_bytes = int(found[1] or 1), parse_size_bytes(found[2])
    if files < 1 or size_bytes < MIB or size_bytes % MIB:
        raise HpsError(f"'{text[:40]}' is no size", "whole MiB, as in 200MiB, or 1000x1MiB")
    return files, size_bytes


def _own(tool: str) -> str:
    """What makes a tool do as it comes."""
    without = ", checksum: false" if tool in LEAVES_OUT else ""
    return f"tool: {tool}, settings: {DEFAULT}{without}"


def _least_checksum(tool: str) -> str:
    """`false` where the tool can leave checksums out."""
    return "false" if False in TOOL_FACTS[tool].uploads_checksum else "true"
