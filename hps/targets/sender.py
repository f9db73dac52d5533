"""Sends the results to the bucket: now and then between operations, and at the end."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.model import Failure
from hps.process.process import Stop
from hps.tools.client import Courier, ForeignObjectError

JOURNAL = ".jsonl"
# A start on another host resumes a run whose journal in the bucket is older, for that has ended:
# see `hps.run.resume`.
SILENT_S = 15 * 60.0
# In a fleet others see within minutes that a node is dead: its journal is renewed each minute.
HEARTBEAT_S = 50.0

_LAST_TRIES = 3
# The share of a run's time that sending may use, beyond what is saved at the beginning.
_SHARE = 1 / 20
_SAVED_AT_FIRST_S = 5.0
_MOST_SAVED_S = 10.0
_LEAST_SAVED_S = 1.0
# How often it is looked, within `renew_s`, whether a journal is to be renewed.
_LOOKS = 10
# When the run wants to store a result, a renewal has this long to end before it is cut off.
_CUT_OFF_S = 1.0


@dataclass(slots=True)
class BucketCopy:
    """Sends the files of one run to `<folder>/<name>` in the results' target.

    Between operations sending uses at most a twentieth of the time: that is saved up, and what has
    been saved is the time-out of the next sending. After one without an answer in its time, the
    next waits until twice as much is saved. Once `stop` is set, all sending ends `stopped_s` later.

    Within a long operation the journal is renewed after `renew_s`. As a rule a third of `SILENT_S`:
    where one renewal fails, there is time for another before the run seems dead, and more of them
    would only disturb what is measured. Each is one small PUT and two HEADs, for which time is
    saved up as for any other sending.

    Two starts may resume the same run, each unseen by the other. Neither overwrites what the other
    sent: where this journal does not begin with that in the bucket, everything of the run that is
    sent from here gets `beside` into its names.
    """

    courier: Courier
    folder: str
    report: Callable[[str, str], None]
    interval_s: float = 5.0
    timeout_s: float = 30.0
    renew_s: float = SILENT_S / 3
    stop: Stop | None = None
    stopped_s: float = 4.0
    beside: str = field(default_factory=lambda: f".{secrets.token_hex(4)}")
    _aside: set[str] = field(default_factory=set)
    _doubtful: set[str] = field(default_factory=set)
    _next_s: float = field(default_factory=time.monotonic)
    _saved_s: float = _SAVED_AT_FIRST_S
    _saved_at_s: float = field(default_factory=time.monotonic)
    _needed_s: float = _LEAST_SAVED_S
    _stopped_at_s: float = math.inf
    # For sending, and for writing what is sent.
    _turn: threading.RLock = field(default_factory=threading.RLock)
    _tried_at_s: float = field(default_factory=time.monotonic)
    _paused_at_s: float = math.inf

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """For the length of a `with` block nothing is sent but by the block itself.

        A renewal that is under way is cut off, so that a bucket that hangs delays nothing.
        """
        self._paused_at_s = time.monotonic()
        with self._turn:
            self._paused_at_s = math.inf
            yield

    @contextlib.contextmanager
    def renewed(self, path: Path) -> Iterator[None]:
        """For the length of a `with` block, the copy of a journal shows that its run is at work.

        Others judge by its time, which is that of the last line: so it is set to now, then sent.
        """
        over = threading.Event()
        renews = threading.Thread(
            target=self._renew_now_and_then, args=(path, over), name="renew", daemon=True
        )
        renews.start()
        try:
            yield
        finally:
            over.set()
            self._paused_at_s = time.monotonic()
            renews.join()
            self._paused_at_s = math.inf

    def _renew_now_and_then(self, path: Path, over: threading.Event) -> None:
        while not over.wait(self.renew_s / _LOOKS):
            # Not tried while the run itself sends, which renews the journal as well.
            if self._turn.acquire(blocking=False):
                try:
                    self._renew(path)
                finally:
                    self._turn.release()

    def _renew(self, path: Path) -> None:
        start_s = time.monotonic()
        if start_s < self._tried_at_s + self.renew_s or not self._has_saved(start_s):
            return
        self._tried_at_s = start_s
        try:
            if path.stat().st_size == 0:
                return  # a run begins with its first line
            os.utime(path)
            self._send_on_savings(path, start_s)
        except OSError as error:  # somebody has removed it: the run restores it
            self.report("results_delayed", str(error))

    def send_now_and_then(self, path: Path) -> None:
        """Send a file where enough time is saved; a failure is an event, and delays it."""
        with self.paused():
            start_s = time.monotonic()
            if self._has_saved(start_s) and start_s >= self._next_s:
                self._send_on_savings(path, start_s)

    def _has_saved(self, now_s: float) -> bool:
        """True where enough time is saved for another sending."""
        saved_s = self._saved_s + (now_s - self._saved_at_s) * _SHARE
        self._saved_s, self._saved_at_s = min(saved_s, _MOST_SAVED_S), now_s
        return self._saved_s >= self._needed_s

    def _send_on_savings(self, path: Path, start_s: float) -> None:
        timeout_s = min(self._saved_s, self.timeout_s)
        error = self._send(path, start_s + timeout_s)
        took_s = time.monotonic() - start_s
        self._saved_s -= took_s
        if error and self._must_make_way():
            return  # the run itself sends it next
        hung = bool(error) and took_s >= timeout_s
        needed_s = 2 * (self._needed_s if hung else took_s)
        self._needed_s = min(max(needed_s, _LEAST_SAVED_S), _MOST_SAVED_S)
        self._next_s = start_s + took_s + self.interval_s
        if error:
            self.report("results_delayed", error)

    def send_all(
        self,
        paths: Sequence[Path],
        *,
        wait: Callable[[float], bool],
        most_s: float | None = None,
    ) -> str:
        """Send the files at the end, with a few tries each. Returns why any is missing, or nothing.

        `most_s` is how long all of it may take; None: each try has its own time-out. After a file
        that could not be sent the others have one try each. `wait` sleeps; it returns True once the
        run is stopped.
        """
        end_s = math.inf if most_s is None else time.monotonic() + most_s
        first = ""
        with self.paused():
            for path in paths:
                error = self._send_for_good(path, wait, end_s, tries=1 if first else _LAST_TRIES)
                first = first or error
        return first

    def _send_for_good(
        self, path: Path, wait: Callable[[float], bool], end_s: float, *, tries: int
    ) -> str:
        error = self._send(path, end_s)
        for attempt in range(1, tries):
            pause_s = 2.0**attempt
            if not error or time.monotonic() + pause_s >= end_s or wait(pause_s):
                return error
            error = self._send(path, end_s)
        return error

    def _send(self, path: Path, end_s: float) -> str:
        """Try once, until `end_s` at most. Returns why it failed; empty: it did not."""
        timeout_s = min(self.timeout_s, end_s - time.monotonic())
        if timeout_s <= 0 or self._is_cut_off():
            return "there was no time left to send it"
        self._tried_at_s = time.monotonic()
        started_again = self.courier.restarts
        try:
            wrong = self._copy(path, timeout_s)
        except ForeignObjectError:
            taken = self._key(path)
            self._aside.add(path.stem)
            text = f"{taken} is what another start of this run stored, and is left alone"
            self.report("results_of_another_start", f"{text}; ours go to {self._key(path)}")
            remaining_s = max(0.0, end_s - time.monotonic())
            wrong = self._copy(path, min(self.timeout_s, remaining_s))
        if self.courier.restarts > started_again:
            self.report("results_sender_restarted", "what sends results died, or hung")
        return wrong.reason if wrong else ""

    def _key(self, path: Path) -> str:
        aside = self.beside if path.stem in self._aside else ""
        return f"{self.folder}/{path.stem}{aside}{path.suffix}"

    def _copy(self, path: Path, timeout_s: float) -> Failure | None:
        """Copy a file; a journal only where the one in the bucket is an earlier state of it.

        Other files do not grow at their ends, so that nothing shows who sent them. A journal that
        arrived corrupted is ours, too.
        """
        key = self._key(path)
        own = path.suffix != JOURNAL or key in self._doubtful
        wrong = self.courier.copy(
            path, key, timeout_s=timeout_s, is_cut_off=self._is_cut_off, own=own
        )
        if wrong is not None and wrong.code == "corrupted":
            self._doubtful.add(key)
        elif wrong is None:
            self._doubtful.discard(key)
        return wrong

    def _is_cut_off(self) -> bool:
        """True once a renewal must make way, and `stopped_s` after the stop was first seen."""
        if self._must_make_way():
            return True
        if self.stop is None or not self.stop.is_set():
            return False
        now_s = time.monotonic()
        self._stopped_at_s = min(self._stopped_at_s, now_s)
        return now_s >= self._stopped_at_s + self.stopped_s

    def _must_make_way(self) -> bool:
        return time.monotonic() >= self._paused_at_s + _CUT_OFF_S
