"""How long work of our own may go on: asked between two pieces of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from hps.catalog.failures import failure
from hps.model import Failure, Status
from hps.process.process import Stop
from hps.units import format_time


class LimitError(Exception):
    """Work has to end before it is done, with this status."""

    def __init__(self, status: Status, why: Failure) -> None:
        super().__init__(why.text)
        self.status: Status = status
        self.failure = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A time-out that runs from `start_s` (monotonic), and the run's own stop."""

    stop: Stop
    start_s: float = 0.0
    timeout_s: float = math.inf

    def check(self) -> None:
        """Raises `LimitError` where the work has to end now."""
        if self.stop.is_set():
            raise LimitError("interrupted", failure("stopped", "the run was stopped"))
        if time.monotonic() >= self.start_s + self.timeout_s:
            text = f"stopped after its time-out of {format_time(self.timeout_s)}"
            raise LimitError("timeout", failure("timeout", text))
