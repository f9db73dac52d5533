"""The copy of the results in the bucket: sent now and then between operations, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.store.daemon import CopyDaemon

_LAST_TRIES = 3


@dataclass(slots=True)
class BucketCopy:
    """Sends the files of one run to `<folder>/<name>` in the results' target.

    Sending takes at most about a twentieth of the time: the next one waits `interval_s`, or 20
    times what the last one took, whichever is longer.
    """

    daemon: CopyDaemon
    folder: str
    report: Callable[[str, str], None]
    interval_s: float = 5.0
    timeout_s: float = 30.0
    _next_s: float = field(default_factory=time.monotonic)

    def send_now_and_then(self, path: Path) -> None:
        """Send one file if the last sending is long enough ago; a failure only delays it."""
        if time.monotonic() < self._next_s:
            return
        start_s = time.monotonic()
        error = self._send(path)
        took_s = time.monotonic() - start_s
        self._next_s = time.monotonic() + max(self.interval_s, 20 * took_s)
        if error:
            self.report("results_delayed", error)

    def send_all(self, paths: Sequence[Path], *, wait: Callable[[float], bool]) -> str:
        """Send the files at the end, with a few tries each. Returns why any is missing, or ``."""
        errors = [self._send_for_good(path, wait) for path in paths]
        return next((error for error in errors if error), "")

    def _send_for_good(self, path: Path, wait: Callable[[float], bool]) -> str:
        error = self._send(path)
        for attempt in range(1, _LAST_TRIES):
            if not error or wait(2.0**attempt):
                return error
            error = self._send(path)
        return error

    def _send(self, path: Path) -> str:
        return self.daemon.copy(path, f"{self.folder}/{path.name}", timeout_s=self.timeout_s)
