"""What a bandwidth probe comes to."""

from __future__ import annotations

from dataclasses import dataclass

from hps.catalog.failures import Failure, failure
from hps.node.bandwidth import RatePoint
from hps.node.reading import Reading, failed, unknown

STOPPED = failure("stopped", "the run was stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One direction: megabits a second, and the growing count of bytes behind it."""

    mbps: Reading
    points: tuple[RatePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Both directions, as this node sees them."""

    upload: Rate
    download: Rate


def nothing(why: str | Failure) -> Rates:
    """No rates, and why."""
    reading = unknown(why) if isinstance(why, str) else failed(why)
    return Rates(upload=Rate(mbps=reading), download=Rate(mbps=reading))
