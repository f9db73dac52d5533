"""Waiting for a fleet: look again and again until a rule ends it, then take it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hps.errors import (
    EXIT_GATE_FAILED,
    EXIT_NO_DATA,
    EXIT_NODE_REJECTED,
    EXIT_NOT_OVER,
    EXIT_OK,
    EXIT_OPERATION_FAILED,
    HpsError,
    MachineError,
)
from hps.fleet.engine import Engine, Say, Started
from hps.fleet.rules import BilledTime, Rule, StopReason, StopRules, find_reason
from hps.fleet.status import FleetStatus

CODES: Mapping[Rule, int] = MappingProxyType(
    {
        "enough": EXIT_OK,
        "turned_down": EXIT_NODE_REJECTED,
        "ended": EXIT_GATE_FAILED,
        "money": EXIT_GATE_FAILED,
        "time": EXIT_GATE_FAILED,
        "quiet": EXIT_NO_DATA,
        "gone": EXIT_NO_DATA,
    }
)
# So many looks in a row may fail: a network that is away comes back.
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLook:
    """What one look has found. `started` is None where no engine is asked, or has nothing."""

    status: FleetStatus
    started: Started | None
    spent_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEnd:
    """How waiting has ended. `reason` None: the fleet goes on. `left`: what an engine still has."""

    reason: StopReason | None
    look: FleetLook | None
    left: Started | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        if self.left is not None and self.left.billed:
            return EXIT_OPERATION_FAILED
        return EXIT_NOT_OVER if self.reason is None else CODES[self.reason.rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWatch:
    """Somebody who waits: `look` says how far the fleet is, `end` ends it for all, with a reason.

    `sleep` returns True once waiting is to be given up. `name` is that of the fleet's request;
    without an engine nothing can be taken down. `usd_per_hour` is what a machine costs; None: not
    known. `drain_s`: so long machines may take to end by themselves before they are taken down.
    """

    look: Callable[[], FleetStatus]
    end: Callable[[str], None]
    engine: Engine | None
    name: str
    rules: StopRules
    usd_per_hour: float | None
    poll_s: float
    drain_s: float
    timeout_s: float | None
    keep: bool
    sleep: Callable[[float], bool]
    show: Callable[[FleetLook], None]
    say: Say

    def run(self) -> FleetEnd:
        """Wait until a rule holds, then end the fleet. Raises `HpsError`."""
        waited = self._watch()
        if waited.reason is None:
            return waited
        if waited.reason.rule != "ended":
            self.say(f"{waited.reason.why}: the fleet is ended")
            self.end(waited.reason.why)
        if self.engine is None or self.keep:
            return waited
        self._drain(self.engine)
        return replace(waited, left=self.engine.remove(self.name, self.say))

    def _watch(self) -> FleetEnd:
        ends_s = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        looks = _LookSeries(waiting=self)
        while True:
            look = looks.find_next()
            reason = None if look is None else self._reason(look)
            if reason is not None:
                return FleetEnd(reason=reason, look=look)
            rest_s = self.poll_s if ends_s is None else ends_s - time.monotonic()
            if rest_s <= 0 or self.sleep(min(self.poll_s, rest_s)):
                return FleetEnd(reason=None, look=looks.latest)

    def _reason(self, look: FleetLook) -> StopReason | None:
        found = find_reason(self.rules, look.status, look.spent_usd, look.status.at)
        if found is None and self.engine is not None and look.started is None:
            why = f"{self.engine.name} has nothing of it"
            return StopReason(rule="gone", why=why)
        return found

    def _drain(self, engine: Engine) -> None:
        """Give machines that are at work the time to end by themselves, and to store all."""
        ends_s = time.monotonic() + self.drain_s
        while (pause_s := min(self.poll_s, ends_s - time.monotonic())) > 0:
            found = engine.find(self.name)
            if found is None or not found.billed or self.sleep(pause_s):
                return


@dataclass(slots=True, kw_only=True)
class _LookSeries:
    """One look after the other: what machines have run is known from all of them together."""

    waiting: FleetWatch
    latest: FleetLook | None = None
    billed: BilledTime = field(default_factory=BilledTime)
    failures: int = 0

    def find_next(self) -> FleetLook | None:
        """Look once more; None where that fails, as it may a few times in a row after the first.

        Raises `HpsError`.
        """
        waiting, engine = self.waiting, self.waiting.engine
        try:
            status = waiting.look()
            started = None if engine is None else engine.find(waiting.name)
        except HpsError as error:
            self.failures += 1
            if self.latest is None:
                raise
            if self.failures >= _MOST_FAILURES:
                raise MachineError(error.message, error.hint) from error
            waiting.say(f"{error.message}; looking again")
            return None
        self.failures, self.billed = 0, self.billed.add(started, status.at)
        spent_usd = self.billed.usd(waiting.usd_per_hour)
        self.latest = FleetLook(status=status, started=started, spent_usd=spent_usd)
        waiting.show(self.latest)
        return self.latest
