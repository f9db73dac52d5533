"""A time limit, and a stop, for work in this process: checked between two pieces of the work."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from hps.catalog.failures import failure
from hps.model import Failure, Status
from hps.process.process import Stop
from hps.units import format_time


class LimitError(Exception):
    """The work was ended by its limit; `status` and `failure` are those of the operation."""

    def __init__(self, status: Status, why: Failure) -> None:
        super().__init__(why.text)
        self.status: Status = status
        self.failure = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A time-out from `start_s` on, by `time.monotonic`, and the run's stop."""

    stop: Stop
    start_s: float = 0.0
    timeout_s: float = math.inf

    def check(self) -> None:
        """Raise `LimitError` once the run is stopped, or the time is over."""
        if self.stop.is_set():
            raise LimitError("interrupted", failure("stopped", "the run was stopped"))
        if time.monotonic() >= self.start_s + self.timeout_s:
            text = f"stopped after its time-out of {format_time(self.timeout_s)}"
            raise LimitError("timeout", failure("timeout", text))
