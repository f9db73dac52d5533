"""In which phase a run is: by its events, by its lock, and by its requests at a proxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from hps.prove.http_head import RequestHead

START, CHECK, FETCH, PROBE = "start-up", "check", "fetch", "probe"
PAYLOAD, BETWEEN = "payload", "between"
CLEAN_UP, PUBLISH, END = "clean-up", "publish", "end"
STEPS = ("upload", "download", "verify", "pause", "delete")
ALL = (START, CHECK, FETCH, PROBE, PAYLOAD, *STEPS, BETWEEN, CLEAN_UP, PUBLISH, END)
_LOOK_S = 0.001  # verifying takes 5 ms
_EVENTS = {"probe_started": PROBE, "making_payload": PAYLOAD, "run_done": END, "run_skipped": END}


class Phases:
    """What one run of `hps` was last seen to do.

    `steps` maps each operation to its step; `left` is how many results are still to come.
    """

    def __init__(self, lock: Path, steps: Mapping[str, str], left: int) -> None:
        self.now = START
        self._seen = {START}
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._lock, self._steps, self._left = lock, steps, left

    def wait_for(self, phase: str, timeout_s: float) -> bool:
        """True once the phase was seen; False where the run ended, or time did, before that."""
        with self._changed:
            self._changed.wait_for(
                lambda: phase in self._seen or self._over.is_set(), timeout=timeout_s
            )
            return phase in self._seen

    def look_at_request(self, head: RequestHead) -> bool:
        """The match of a rule that befalls no request."""
        asked = f"/{head.path}/{head.query.get('prefix', '')}"
        if head.method == "GET" and "uploads" in head.query:
            self._enter(CLEAN_UP)
        elif self.now == START and "/check-" in asked:
            self._enter(CHECK)
        elif self.now in {START, CHECK} and "/results/" in asked:
            self._enter(FETCH)
        return False

    def read_events(self, stderr: IO[str]) -> str:
        """Read the run's standard error to its end. Returns it."""
        said = []
        for line in stderr:
            said.append(line)
            self._take(line)
        with self._changed:
            self._over.set()
            self._changed.notify_all()
        return "".join(said)

    def watch_lock(self) -> None:
        """Look at the lock until the run is over."""
        last = ""
        while not self._over.wait(_LOOK_S):
            told = read_lock(self._lock)
            started = str(told.get("operation_started_at", ""))
            # At first it is what an earlier run was ended in.
            if started != last and self.now not in {START, CHECK, FETCH}:
                self._enter(self._steps.get(str(told.get("operation_id")), self.now))
            last = started

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        name = event.get("event")
        if name == "operation_done":
            self._left -= 1
            self._enter(BETWEEN if self._left > 0 else PUBLISH)
        elif name in _EVENTS:
            self._enter(_EVENTS[name])

    def _enter(self, phase: str) -> None:
        with self._changed:
            self.now = phase
            self._seen.add(phase)
            self._changed.notify_all()


def read_lock(path: Path) -> dict[str, object]:
    """What a lock tells; nothing where it is not there, or not whole."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
