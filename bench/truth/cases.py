"""What is run on each link: cells, file sizes, the experiment's text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from bench import grid
from bench.link import LinkSettings
from bench.link.settings import WAYS
from bench.node_run import target_yaml

MIB = grid.MIB
SHORT = (
    grid.make(80, (130, 240), 0.0),
    grid.make(10, (300, 300), 0.1),
)
_AIM_S = 10.0
_MOST_BYTES = 320 * MIB
# So that the file's last chunk is shorter than the others.
_LAST_BYTES = MIB
# From this rate on chunks are 10 MiB for the cell with more streams.
_FAST_MBPS = 100.0
_PROBED = {(130.0, 240.0)}
_TEMPLATE = """\
api: hps/v1
name: truth
targets:
{target}
  kept: {{provider: embedded}}
results: {{target: kept}}
{node}data: {{size: {size_bytes}B}}
matrix:
  cell:
    zip:
      chunk_size: [{chunk_sizes}]
      concurrency: [{concurrencies}]
      size: [{sizes}]
order: {{kind: declared}}
timeout: {timeout_s:.0f}s
steps: [upload, pause: {{duration: 1s}}, download, verify, delete]
"""
# Of any rate and distance: the node is measured, and never turned down.
_NODE = """\
node:
  min_upload: 0.001Mbps
  min_download: 0.001Mbps
  max_rtt: 60s
  on_reject: continue
  on_unknown: accept
  probe: {target: s3, seconds: 8}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one trial moves: a file of `size_bytes`, in chunks, so many in flight."""

    chunk_bytes: int
    concurrency: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One link, and what is run on it; `probe`: the node's own probe is compared as well."""

    link: LinkSettings
    cells: tuple[Cell, ...]
    probe: bool = False

    @property
    def name(self) -> str:
        """That of the link."""
        return grid.name_of(self.link)

    @property
    def key(self) -> Mapping[str, Any]:
        """What tells a result of this case from that of another; plain data."""
        return {
            "link": asdict(self.link),
            "cells": [asdict(cell) for cell in self.cells],
            "probe": self.probe,
        }

    @property
    def expected_s(self) -> float:
        """About how long it takes."""
        return sum(
            grid.expected_s(self.link, way, cell.concurrency, cell.size_bytes)
            for cell in self.cells
            for way in WAYS
        )


def full() -> list[Case]:
    """The whole grid, two cells a link."""
    return [
        make(link, probe=not link.loss and (link.up_mbps, link.down_mbps) in _PROBED)
        for link in grid.links()
    ]


def short() -> list[Case]:
    """Two links, one cell each; the first with the probe."""
    return [make(link, (8,), probe=not link.loss, aim_s=4.0) for link in SHORT]


def make(
    link: LinkSettings,
    concurrencies: tuple[int, ...] = (4, 8),
    *,
    probe: bool = False,
    aim_s: float = _AIM_S,
) -> Case:
    """A link with a cell for each number of streams, whose slower direction takes about `aim_s`."""
    cells = tuple(_cell(link, concurrency, aim_s) for concurrency in concurrencies)
    return Case(link=link, cells=cells, probe=probe)


def spec_text(case: Case, endpoint: str) -> str:
    """The experiment; data goes to `endpoint`, results stay in the node, off the link."""
    return _TEMPLATE.format(
        target=target_yaml("s3", endpoint),
        node=_NODE if case.probe else "",
        size_bytes=case.cells[0].size_bytes,
        chunk_sizes=", ".join(f"{cell.chunk_bytes}B" for cell in case.cells),
        concurrencies=", ".join(f"{cell.concurrency}" for cell in case.cells),
        sizes=", ".join(f"{cell.size_bytes}B" for cell in case.cells),
        timeout_s=60 + 4 * case.expected_s,
    )


def _cell(link: LinkSettings, concurrency: int, aim_s: float) -> Cell:
    mbps = min(grid.expected_mbps(link, way, concurrency) for way in WAYS)
    chunk_bytes = (10 if concurrency > 4 and mbps >= _FAST_MBPS else 5) * MIB
    least = ceil(1.5 * concurrency)
    aimed = round(aim_s * mbps * 1e6 / 8 / chunk_bytes)
    chunks = max(least, min(aimed, _MOST_BYTES // chunk_bytes))
    return Cell(
        chunk_bytes=chunk_bytes,
        concurrency=concurrency,
        size_bytes=chunks * chunk_bytes + _LAST_BYTES,
    )
