"""The copy of the results in the bucket: sent now and then between operations, and at the end."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.catalog.failures import Failure
from hps.process import Stop
from hps.store.daemon import CopyDaemon, TakenError

JOURNAL = ".jsonl"

_LAST_TRIES = 3
# What sending may take of a run, all in all, beyond what is saved before the first one.
_SHARE = 1 / 20
_SAVED_AT_FIRST_S = 5.0
_MOST_SAVED_S = 10.0
_LEAST_SAVED_S = 1.0


@dataclass(slots=True)
class BucketCopy:
    """Sends the files of one run to `<folder>/<name>` in the results' target.

    Between operations sending takes at most a twentieth of the time: that is saved up, and what
    has been saved is the time-out of the next one. One that gave no answer in its time waits until
    twice as much is saved. Once `stop` is set, all sending together ends `stopped_s` later.

    Two starts may go on with one run, each unseen by the other. None overwrites what another sent:
    where a journal in the bucket is not how this one begins, all of the run that is sent from here
    gets `beside` into its names.
    """

    daemon: CopyDaemon
    folder: str
    report: Callable[[str, str], None]
    interval_s: float = 5.0
    timeout_s: float = 30.0
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

    def send_now_and_then(self, path: Path) -> None:
        """Send one file if the last sending is long enough ago; a failure only delays it."""
        start_s = time.monotonic()
        saved_s = self._saved_s + (start_s - self._saved_at_s) * _SHARE
        self._saved_s, self._saved_at_s = min(saved_s, _MOST_SAVED_S), start_s
        if start_s < self._next_s or self._saved_s < self._needed_s:
            return
        timeout_s = min(self._saved_s, self.timeout_s)
        error = self._send(path, start_s + timeout_s)
        took_s = time.monotonic() - start_s
        hung = bool(error) and took_s >= timeout_s
        needed_s = 2 * (self._needed_s if hung else took_s)
        self._needed_s = min(max(needed_s, _LEAST_SAVED_S), _MOST_SAVED_S)
        self._saved_s -= took_s
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
        """Send the files at the end, with a few tries each. Returns why any is missing, or ``.

        `most_s` is how long all of it may take; None: each try its own time-out. After one that
        could not be sent the others have one try each.
        """
        end_s = math.inf if most_s is None else time.monotonic() + most_s
        first = ""
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
        """Try once, until `end_s` at most. Returns why it failed, or nothing."""
        timeout_s = min(self.timeout_s, end_s - time.monotonic())
        if timeout_s <= 0 or self._given_up():
            return "there was no time left to send it"
        started_again = self.daemon.starts_again
        try:
            wrong = self._copy(path, timeout_s)
        except TakenError:
            taken = self._key(path)
            self._aside.add(path.stem)
            text = f"{taken} is what another start of this run stored, and is left alone"
            self.report("results_of_another_start", f"{text}; ours go to {self._key(path)}")
            left_s = max(0.0, end_s - time.monotonic())
            wrong = self._copy(path, min(self.timeout_s, left_s))
        if self.daemon.starts_again > started_again:
            self.report("results_sender_restarted", "the rclone that sends results died, or hung")
        return wrong.reason if wrong else ""

    def _key(self, path: Path) -> str:
        aside = self.beside if path.stem in self._aside else ""
        return f"{self.folder}/{path.stem}{aside}{path.suffix}"

    def _copy(self, path: Path, timeout_s: float) -> Failure | None:
        """Only journals grow at their ends, so only of these it shows who sent them.

        What came otherwise than it was sent is ours, too.
        """
        key = self._key(path)
        own = path.suffix != JOURNAL or key in self._doubtful
        wrong = self.daemon.copy(path, key, timeout_s=timeout_s, given_up=self._given_up, own=own)
        if wrong is not None and wrong.code == "corrupted":
            self._doubtful.add(key)
        elif wrong is None:
            self._doubtful.discard(key)
        return wrong

    def _given_up(self) -> bool:
        """True `stopped_s` after the stop was first seen."""
        if self.stop is None or not self.stop.is_set():
            return False
        now_s = time.monotonic()
        self._stopped_at_s = min(self._stopped_at_s, now_s)
        return now_s >= self._stopped_at_s + self.stopped_s
