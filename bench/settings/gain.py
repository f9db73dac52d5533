"""Rates of settings in blocks -> which is best, and by how much, with an interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from statistics import fmean, stdev

LEVEL = 0.95
# A rate in Mbps for each block; None where the transfer failed.
Rates = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How many times as fast, with an interval at the level of 95 %; infinite for one block."""

    ratio: float
    low: float
    high: float
    blocks: int

    def text(self) -> str:
        """`1.52 (1.44 to 1.61)`."""
        if self.high == inf:
            return f"{self.ratio:.2f}"
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


def gain(rates: Rates, base: Rates) -> Gain | None:
    """Of one setting over another, by the ratio within each block; None where no block has both.

    The geometric mean, with Student's interval of the mean of the logarithms: blocks are few, and
    an interval of a median would need six of them.
    """
    logs = [log(one / other) for one, other in zip(rates, base, strict=True) if one and other]
    return _of_logs(logs) if logs else None


def best(settings: Mapping[str, Rates]) -> str | None:
    """The setting with the highest geometric mean; one that failed in a block is none."""
    means = {
        name: fmean(log(rate) for rate in rates if rate)
        for name, rates in settings.items()
        if rates and all(rates)
    }
    return max(means, key=means.__getitem__) if means else None


def gain_of_best(settings: Mapping[str, Rates], base: Rates) -> Gain | None:
    """Of the best setting over `base`.

    Within each block the setting counts that is best in the others: had the block itself a say in
    the choice, luck would be taken for gain. One block alone has to choose for itself.
    """
    logs = []
    for block, of_base in enumerate(base):
        others = {name: _without(rates, block) for name, rates in settings.items()}
        name = best(others if len(base) > 1 else settings)
        rate = settings[name][block] if name is not None else None
        if rate and of_base:
            logs.append(log(rate / of_base))
    return _of_logs(logs) if logs else None


def mean(rates: Rates) -> float | None:
    """The geometric mean of what there is."""
    logs = [log(rate) for rate in rates if rate]
    return exp(fmean(logs)) if logs else None


def _without(rates: Rates, block: int) -> list[float | None]:
    return [rate for number, rate in enumerate(rates) if number != block]


def _of_logs(logs: Sequence[float]) -> Gain:
    middle, reach = fmean(logs), inf
    if len(logs) > 1:
        reach = _quantile(len(logs) - 1) * stdev(logs) / sqrt(len(logs))
    return Gain(
        ratio=exp(middle),
        low=exp(middle - reach),
        high=inf if reach == inf else exp(middle + reach),
        blocks=len(logs),
    )


def _quantile(freedom: int) -> float:
    from scipy import stats  # noqa: PLC0415 - slow to import

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
