"""A bound to what a server's answer may take on this machine: some lists have no end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from hps.catalog import failures
from hps.catalog.failures import Failure

_MOST_BYTES = 1024**3
_ENDLESS = "the server's answer has no end, or takes too much memory to be read"


@dataclass(slots=True, kw_only=True)
class Bounded:
    """A `process.Sampler` that ends a process: its memory and its output in `out` count together.

    `failure` then says so; it is None where nothing was ended.
    """

    out: Path
    most_bytes: int = _MOST_BYTES
    interval_s: float = 0.2
    failure: Failure | None = None

    def sample(self, pid: int) -> None:
        """One look at process `pid`."""
        try:
            process = psutil.Process(pid)
            taken_bytes = process.memory_info().rss + self.out.stat().st_size
            if taken_bytes > self.most_bytes:
                process.kill()
                self.failure = failures.failure("bad_answer", _ENDLESS, hint="")
        except (psutil.Error, FileNotFoundError):
            return  # it has just ended, or has written nothing yet
