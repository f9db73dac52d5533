"""Simulated fleets whose truth is known, and what their simulation may and may not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.random import Generator
from scipy import stats
from scipy.optimize import brentq

from hps.compare.comparison import Floats, Rule

RULE = Rule()
# A right program fails a check once in a thousand; seeds are fixed, so it does once and for all.
_SURPRISE = 0.001

Draw = Callable[[Generator, tuple[int, ...]], Floats]


@dataclass(frozen=True, slots=True)
class Population:
    """Rates in Mbps of nodes drawn at random, and their true median."""

    draw: Draw
    median: float


def _two_kinds(share: float, slow: float, fast: float, spread: float) -> Population:
    """Slow nodes and fast ones; both lognormal."""

    def draw(random: Generator, shape: tuple[int, ...]) -> Floats:
        centre = np.where(random.random(shape) < share, log(slow), log(fast))
        return np.exp(random.normal(centre, spread))

    def beyond_half(log_rate: float) -> float:
        below = [stats.norm.cdf(log_rate, log(rate), spread) for rate in (slow, fast)]
        return float(share * below[0] + (1 - share) * below[1] - 0.5)

    return Population(draw, exp(brentq(beyond_half, log(slow), log(fast))))


POPULATIONS: Mapping[str, Population] = {
    "normal": Population(lambda random, shape: random.normal(239, 60, shape), 239.0),
    "lognormal": Population(lambda random, shape: random.lognormal(log(82), 0.8, shape), 82.0),
    "exponential": Population(lambda random, shape: random.exponential(100, shape), 100 * log(2)),
    "two kinds": _two_kinds(share=0.35, slow=50, fast=300, spread=0.2),
    "two halves": _two_kinds(share=0.5, slow=50, fast=300, spread=0.2),
}


def panel(
    random: Generator,
    units: int,
    ratios: Floats,
    *,
    between: float = 0.1,
    repetitions: int = 3,
) -> Floats:
    """Medians of repetitions, shape (units, cells), where cells are `ratios` times as fast.

    Nodes differ as in a heavy-tailed fleet, by hundreds of times, and in how noisy they are.
    `between` is the standard deviation of the logarithm of what a cell is to one node alone.
    """
    cells = len(ratios)
    node = np.log(20) + 1.2 * random.standard_t(3, (units, 1))
    own = random.normal(0, between, (units, cells))
    noise = random.uniform(0.02, 0.3, (units, 1, 1))
    within = random.normal(0, noise, (units, cells, repetitions))
    logs: Floats = np.median(node[..., None] + own[..., None] + within, axis=2) + np.log(ratios)
    return np.exp(logs)


def at_least(successes: int, trials: int, rate: float) -> bool:
    """False where so few successes show that their true rate is below `rate`."""
    return bool(stats.binomtest(successes, trials, rate, "less").pvalue > _SURPRISE)


def at_most(successes: int, trials: int, rate: float) -> bool:
    """False where so many successes show that their true rate is above `rate`."""
    return bool(stats.binomtest(successes, trials, rate, "greater").pvalue > _SURPRISE)
