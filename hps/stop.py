"""Stopping a run from outside: a signal sets a flag that every wait looks at."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from hps.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


class SignalStop:
    """The flag. The first signal sets it; a second one ends the process at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal: signal.Signals | None = None

    def is_set(self) -> bool:
        """True once a signal has come."""
        return self._event.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True once a signal has come."""
        return self._event.wait(timeout)

    @property
    def exit_code(self) -> int:
        """The exit code that tells which signal it was."""
        return EXIT_INTERRUPTED if self.signal == signal.SIGINT else EXIT_TERMINATED

    def take(self, number: int, _: FrameType | None) -> None:
        """The signal handler."""
        if self._event.is_set():
            os._exit(128 + number)  # the guard process cleans up
        self.signal = signal.Signals(number)
        self._event.set()


@contextlib.contextmanager
def on_signals() -> Iterator[SignalStop]:
    """For the length of a `with` block, SIGINT, SIGTERM and SIGHUP set the flag."""
    stop = SignalStop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop.take) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
