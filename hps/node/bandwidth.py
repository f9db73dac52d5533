"""A growing count of bytes, sampled again and again, -> a rate. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from hps.catalog.failures import failure
from hps.model import Failure, Reading, failed, known, unknown

INTERVAL_S = 0.25
_STEADY_RATES = 7
_FEWEST_RATES = 10
_TOLERANCE = 0.075
# With fewer points the ramp-up can't be told from the rest.
_FEWEST_POINTS = 3
# The heads of a few requests may be as large: less is no payload.
LEAST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePoint:
    """`bytes_total` bytes had moved by the time `t_s`."""

    t_s: float
    bytes_total: int


@dataclass(slots=True)
class SteadyRate:
    """The rate of a transfer that starts slowly, from points about `INTERVAL_S` apart.

    It is steady once there are 10 rates between neighbouring points and the last 7 all lie within
    7.5 % of their mean.
    """

    points: list[RatePoint] = field(default_factory=list)

    def feed(self, t_s: float, bytes_total: int) -> None:
        """Add a point. Raises `ValueError` where the time is no later, or the bytes are fewer."""
        if self.points and (
            t_s <= self.points[-1].t_s or bytes_total < self.points[-1].bytes_total
        ):
            raise ValueError(f"({t_s}, {bytes_total}) cannot follow {self.points[-1]}")
        self.points.append(RatePoint(t_s=t_s, bytes_total=bytes_total))

    @property
    def steady(self) -> bool:
        """True where more points would change the rate little."""
        rates = [_mbps(before, after) for before, after in pairwise(self.points)]
        if len(rates) < _FEWEST_RATES:
            return False
        last = rates[-_STEADY_RATES:]
        mean = sum(last) / len(last)
        return mean > 0 and all(abs(rate - mean) <= _TOLERANCE * mean for rate in last)

    @property
    def rate_mbps(self) -> float | None:
        """Mbps over the steady window, else over the last half; None with too few points."""
        if len(self.points) < _FEWEST_POINTS:
            return None
        return _mbps(self.counted_from, self.points[-1])

    @property
    def counted_from(self) -> RatePoint:
        """The point that the rate counts from; there has to be one."""
        return self.points[-_STEADY_RATES - 1] if self.steady else self._middle()

    def _middle(self) -> RatePoint:
        """The last point that leaves half of the time after it."""
        middle_s = (self.points[0].t_s + self.points[-1].t_s) / 2
        return [point for point in self.points if point.t_s <= middle_s][-1]


def rate_from_points(points: Iterable[tuple[float, int]]) -> Reading:
    """Megabits a second from (seconds, bytes in all); unknown where too little was seen to move.

    Raises `ValueError` as `SteadyRate.feed` does.
    """
    rate = SteadyRate()
    for t_s, bytes_total in points:
        rate.feed(t_s, bytes_total)
    return _reading(rate)


def _reading(rate: SteadyRate) -> Reading:
    rate_mbps = rate.rate_mbps
    if rate_mbps is None:
        return unknown(f"over too soon: {len(rate.points)} looks at the bytes moved")
    took_s = rate.points[-1].t_s - rate.points[0].t_s
    if rate.points[-1].bytes_total == rate.points[0].bytes_total:
        return unknown(f"no bytes moved in {took_s:.3g} s")
    if rate_mbps == 0:
        return unknown(f"the transfer stood still for the last half of {took_s:.3g} s")
    moved_bytes = rate.points[-1].bytes_total - rate.counted_from.bytes_total
    if moved_bytes < LEAST_BYTES:
        return unknown(f"only {moved_bytes} bytes moved in the last half of {took_s:.3g} s")
    return known(rate_mbps)


def _mbps(before: RatePoint, after: RatePoint) -> float:
    return (after.bytes_total - before.bytes_total) * 8 / 1e6 / (after.t_s - before.t_s)


# -------------------------------------------------------------------------------------------------
# What a bandwidth probe comes to.

STOPPED = failure("stopped", "the run was stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One direction: megabits a second, and the points that they were computed from."""

    mbps: Reading
    points: tuple[RatePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Both directions, seen from this node."""

    upload: Rate
    download: Rate


def no_rates(why: str | Failure) -> Rates:
    """Both rates unknown, for this reason."""
    reading = unknown(why) if isinstance(why, str) else failed(why)
    return Rates(upload=Rate(mbps=reading), download=Rate(mbps=reading))
