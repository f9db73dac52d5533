"""What is simulated: nodes with their links, and what they run."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

Record = dict[str, Any]
Value = str | int | bool
Cell = Mapping[str, Value]

MIB = 1024**2
_COUNTRIES = ("de", "us", "br", "jp", "fi", "in")
_GPUS = ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3060")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimNode:
    """A simulated machine. Rates are what its link carries in a cell with an effect of 1."""

    machine_id: str
    rtt_s: float | None = 0.05
    upload_mbps: float = 100.0
    download_mbps: float = 200.0
    country: str | None = "de"
    gpu: str | None = _GPUS[0]
    accepted: bool = True
    proxied: bool = False


Draw = Callable[[random.Random, int], SimNode]
Effect = Callable[[SimNode, Cell, str], float]
# What becomes of an operation: a status of the schema.
Fate = Callable[[random.Random, SimNode, Cell, str], str]


def draw_node(chance: random.Random, number: int) -> SimNode:
    """A node such as those of the published fleet: rates and round trips have long tails."""
    download_mbps = chance.lognormvariate(math.log(220), 0.5)
    upload_mbps = max(1.0, 24.2 + 0.456 * download_mbps + chance.gauss(0, 120))
    return SimNode(
        machine_id=f"{chance.getrandbits(32):08x}-{number:06d}",
        rtt_s=chance.lognormvariate(math.log(0.07), 0.6),
        upload_mbps=upload_mbps,
        download_mbps=download_mbps,
        country=chance.choice(_COUNTRIES),
        gpu=chance.choice(_GPUS),
    )


def all_ok(chance: random.Random, node: SimNode, cell: Cell, step: str) -> str:
    """Every operation is `ok`."""
    return "ok"


def grid(**axes: Sequence[Value]) -> tuple[Cell, ...]:
    """The product of some axes: `grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 4])`."""
    return tuple(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


CELLS = grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What all nodes run. `spread` is the standard deviation of the logarithm of a node's rates."""

    experiment: str = "fleet"
    cells: Sequence[Cell] = CELLS
    repetitions: int = 3
    warmup: int = 0
    steps: Sequence[str] = ("upload", "download")
    size_bytes: int = 200 * MIB
    content: str = "random"
    tool_version: str = "1.75.2"
    started_at: datetime = datetime(2026, 1, 5, 9, tzinfo=UTC)
    spec_source: str = "experiments/fleet.yaml"
    provider: str = "cloudflare"
    spread: float = 0.1
    effect: Effect = lambda node, cell, step: 1.0
    fate: Fate = all_ok
    # Added to each run line, or to the requested knobs of each result.
    run_fields: Mapping[str, object] = field(default_factory=dict)
    requested: Mapping[str, Value] = field(default_factory=dict)
    # The digest of the experiment; empty: another for another name, cells or size.
    spec_sha256: str = ""

    def settled(self) -> Simulation:
        """The same with its digest."""
        told = f"{self.experiment} {list(self.cells)} {self.size_bytes} {self.requested}"
        digest = self.spec_sha256 or hashlib.sha256(told.encode()).hexdigest()
        return replace(self, spec_sha256=digest)
