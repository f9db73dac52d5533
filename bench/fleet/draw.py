"""Nodes drawn from the published distributions. Pure but for reading the published numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import grid
from bench.link import LinkSettings

Floats = NDArray[np.float64]
PUBLISHED = Path(__file__).resolve().parents[2] / "tests" / "data" / "published-2024.json"
# What the link of `bench.link` carries here with time to spare.
MOST_MBPS = 300.0
LEAST_MBPS = 2.0
LEAST_RTT_MS = 1.0
_NORMAL = NormalDist()
_QUADRATURE = 60
_BISECTIONS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node as it was drawn; what its link is given is in `link`."""

    number: int
    seed: int
    rtt_ms: float
    up_mbps: float
    down_mbps: float

    @property
    def machine_id(self) -> str:
        """The `SALAD_MACHINE_ID` that it goes by."""
        return f"fleet-{self.seed}-{self.number:03d}"

    @property
    def link(self) -> LinkSettings:
        """Its link: as drawn, each rate at most `MOST_MBPS`."""
        rates = (min(self.up_mbps, MOST_MBPS), min(self.down_mbps, MOST_MBPS))
        return grid.make(self.rtt_ms, rates, 0.0)

    @property
    def capped(self) -> bool:
        """True where the link is slower than what was drawn."""
        return max(self.up_mbps, self.down_mbps) > MOST_MBPS


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bins of equal width: `counts[i]` values from `start + i * width` on, evenly spread."""

    start: float
    width: float
    counts: tuple[int, ...]

    def quantile(self, shares: Floats) -> Floats:
        """The values below which these shares lie; arrays of one shape."""
        edges = self.start + self.width * np.arange(len(self.counts) + 1)
        cumulated = np.concatenate(([0.0], np.cumsum(self.counts))) / sum(self.counts)
        found: Floats = np.interp(shares, cumulated, edges)
        return found


@cache
def published() -> Mapping[str, Any]:
    """The published numbers, as they are stored with their source."""
    read: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return read


def histogram(name: str) -> Histogram:
    """One of `rtt_ms`, `download_mbps` and `upload_mbps`."""
    data = published()
    return Histogram(data["bin_start"], data["bin_width"], tuple(data[name]["counts"]))


def draw(count: int, seed: int) -> list[Node]:
    """The first `count` nodes of this seed; the fifth is the same in a fleet of any size."""
    return [_node(number, seed) for number in range(count)]


@cache
def dependence() -> float:
    """The correlation of the two normal variables behind download and upload.

    With it the rates themselves have the published r; found by bisection, for r grows with it.
    """
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if correlation(middle) > _wanted_r() else (middle, high)
    return (low + high) / 2


def correlation(rho: float) -> float:
    """Pearson's r of download and upload whose normal variables are correlated by `rho`.

    Both are functions of standard normal variables z and rho z + sqrt(1 - rho²) w (a Gaussian
    copula), so that r is a sum over the nodes of Gauss-Hermite quadrature in z and w.
    """
    at, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    weight = np.outer(weights, weights) / weights.sum() ** 2
    z, w = np.meshgrid(at, at, indexing="ij")
    down = _values("download_mbps", z)
    up = _values("upload_mbps", rho * z + np.sqrt(1 - rho**2) * w)
    down, up = down - (weight * down).sum(), up - (weight * up).sum()
    squares = (weight * down**2).sum() * (weight * up**2).sum()
    return float((weight * down * up).sum() / np.sqrt(squares))


def _wanted_r() -> float:
    return float(published()["trend"]["r"])


def _node(number: int, seed: int) -> Node:
    chance = random.Random(f"{seed}-{number}")
    rho, z, w = dependence(), chance.gauss(), chance.gauss()
    other = rho * z + (1 - rho**2) ** 0.5 * w
    rtt_ms = histogram("rtt_ms").quantile(np.array(chance.random()))
    return Node(
        number=number,
        seed=seed,
        rtt_ms=max(LEAST_RTT_MS, round(float(rtt_ms), 1)),
        down_mbps=_rate("download_mbps", z),
        up_mbps=_rate("upload_mbps", other),
    )


def _rate(name: str, z: float) -> float:
    return max(LEAST_MBPS, round(float(_values(name, np.array(z))), 1))


def _values(name: str, z: Floats) -> Floats:
    """Standard normal values as values of a histogram, rank for rank."""
    shares = np.array([_NORMAL.cdf(float(one)) for one in z.ravel()])
    return histogram(name).quantile(shares).reshape(z.shape)


def means(nodes: Sequence[Node]) -> tuple[float, float, float]:
    """Round trip (ms), download and upload (Mbps) as drawn, on average."""
    values = np.array([(node.rtt_ms, node.down_mbps, node.up_mbps) for node in nodes])
    rtt_ms, down_mbps, up_mbps = values.mean(axis=0)
    return float(rtt_ms), float(down_mbps), float(up_mbps)
