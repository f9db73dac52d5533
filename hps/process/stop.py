"""Stopping a run from outside: a signal sets a flag that every wait polls."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from hps.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

_LOOK_S = 0.05
# Results are on disk by then, and the next run does what this one could not finish in time.
LATEST_S = 25.0
_TOO_SLOW = b"hps: stopping took too long; the next run puts in order what this one has left\n"


class _Never:
    """A stop that never comes."""

    def is_set(self) -> bool:
        return False


NEVER = _Never()


class SignalStop:
    """A flag that the first signal sets; a second signal ends the process at once.

    No lock is used: a signal may come while the main thread has it.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._since_s: float | None = None
        self._alarm: int | None = None

    def is_set(self) -> bool:
        return self._since_s is not None

    def over(self, seconds: float) -> bool:
        """True once a signal has come, `seconds` ago or earlier."""
        return self._since_s is not None and time.monotonic() - self._since_s >= seconds

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True once a signal has come."""
        ends_s = time.monotonic() + timeout
        while not self.is_set() and (remaining_s := ends_s - time.monotonic()) > 0:
            time.sleep(min(remaining_s, _LOOK_S))
        return self.is_set()

    @property
    def exit_code(self) -> int:
        """The exit code of the program for the signal that came."""
        return EXIT_INTERRUPTED if self.signal == signal.SIGINT else EXIT_TERMINATED

    def handle(self, number: int, _: FrameType | None) -> None:
        """The signal handler. A terminal that is closed may send SIGHUP more than once."""
        if self.is_set() and number == signal.SIGHUP:
            return
        if self.is_set():
            os._exit(128 + number)  # the guard process cleans up
        self.signal = signal.Signals(number)
        self._since_s = time.monotonic()
        if self._alarm is not None:
            os.write(self._alarm, b"!")

    @contextlib.contextmanager
    def bounded(self, latest_s: float) -> Iterator[None]:
        """Within a `with` block the process ends `latest_s` after a signal, however it hangs."""
        watched, self._alarm = os.pipe()
        threading.Thread(target=self._end_late, args=(watched, latest_s), daemon=True).start()
        try:
            yield
        finally:
            alarm, self._alarm = self._alarm, None
            os.close(alarm)

    def _end_late(self, watched: int, latest_s: float) -> None:
        """Wait for the signal, then for the end of the block, which closes the pipe."""
        if os.read(watched, 1) and not select.select([watched], [], [], latest_s)[0]:
            if select.select([], [2], [], 0)[1]:  # standard error may be a pipe that nobody reads
                os.write(2, _TOO_SLOW)
            os._exit(self.exit_code)
        os.close(watched)


@contextlib.contextmanager
def on_signals(latest_s: float = LATEST_S) -> Iterator[SignalStop]:
    """For the length of a `with` block, SIGINT, SIGTERM and SIGHUP set the flag.

    Where the block has not ended `latest_s` after a signal, the process ends.
    """
    stop = SignalStop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        with stop.bounded(latest_s):
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
