"""Nodes of a fleet that begin together: at one instant, by the clock of their bucket.

Nobody gives a sign: the instant is in the experiment, or in `HPS_FLEET_START` on each node. Who
comes after it doesn't join, for its results would be of another load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hps.errors import HpsError
from hps.model import Fleet
from hps.node.probe.clock import find_clock
from hps.results.record import utc_text
from hps.run.session import Membership, Session
from hps.units import parse_moment

START_ENV = "HPS_FLEET_START"
_CLOCK_TIMEOUT_S = 10.0
# A clock drifts: where a node waits for longer, it looks again so long before the instant.
_FRESH_S, _LEAD_S = 600.0, 20.0
_LOOK_S = 30.0
# A node that is ready so much later is late.
_LATE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketClock:
    """How far the clock of the bucket is ahead of this machine's.

    `error_s` is how much that may be off; None: nothing is known, and this machine's own counts.
    """

    skew: timedelta = timedelta()
    error_s: float | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew


def start_of(fleet: Fleet, env: Mapping[str, str]) -> datetime | None:
    """When the nodes of a fleet begin together; None: each as it comes. Raises `HpsError`."""
    told = moment_of(START_ENV, env)
    if not fleet.together:
        if told is not None:
            hint = "write fleet: {start: together}, or unset it"
            raise HpsError(f"{START_ENV} is set, and the nodes don't begin together", hint)
        return None
    starts_at = told or fleet.starts_at
    if starts_at is None:
        hint = f"set {START_ENV}=2026-12-01T18:00:00Z on each node, or write fleet.starts_at"
        raise HpsError("the nodes of this fleet begin together, and nothing says when", hint)
    return starts_at


def moment_of(name: str, env: Mapping[str, str]) -> datetime | None:
    """The time in a variable; None where it is not set. Raises `HpsError`."""
    text = env.get(name, "")
    if not text:
        return None
    try:
        return parse_moment(text)
    except (ValueError, OverflowError):
        hint = "write it as 2026-12-01T18:00:00Z"
        raise HpsError(f"{name} is {text[:80]!r}, which is no time with its zone", hint) from None


def read_clock(session: Session, *, exact: bool) -> BucketClock:
    """The clock of the results' bucket: by several answers, or as its check has shown it."""
    if exact:
        target = session.tools.targets[session.results_target]
        found = find_clock(target, timeout_s=_CLOCK_TIMEOUT_S)
        if found is not None:
            return BucketClock(skew=timedelta(seconds=found.offset_s), error_s=found.error_s)
    checks = session.preflight.checked
    offsets = [one.clock_offset_s for one in checks if one.target == session.results_target]
    offset_s = next((s for s in offsets if s is not None), None)
    if offset_s is None:
        return BucketClock()
    return BucketClock(skew=timedelta(seconds=offset_s), error_s=0.5)  # dates have whole seconds


def why_late(starts_at: datetime | None, now: datetime) -> str:
    """Why a node that begins now doesn't join; empty where it does."""
    if starts_at is None or now < starts_at:
        return ""
    return f"its nodes began together at {starts_at:%Y-%m-%d %H:%M:%S} UTC, and this one came later"


def wait_for_start(session: Session) -> bool:
    """Wait for the instant at which all begin.

    False where nothing is to begin: the run was stopped, or this node was ready too late.
    """
    member = session.member
    if member is None or member.starts_at is None:
        return True
    remaining_s = _remaining_s(member)
    event, at = session.listener.event, utc_text(member.starts_at)
    if remaining_s < -_LATE_S:
        late = f"this node was ready {-remaining_s:.0f} s late"
        event("fleet_start_missed", fleet=member.fleet, reason=late)
        return False
    event("fleet_waits", fleet=member.fleet, starts_at=at, wait_s=round(remaining_s, 1))
    if remaining_s > _FRESH_S and not _sleep(session, member, until_s=_LEAD_S):
        member = _look_again(session, member)
    return not _sleep(session, member, until_s=0.0)


def _look_again(session: Session, member: Membership) -> Membership:
    clock = read_clock(session, exact=True)
    return member if clock.error_s is None else replace(member, skew=clock.skew)


def _sleep(session: Session, member: Membership, *, until_s: float) -> bool:
    """Sleep until so long before the instant, by a clock that may be set. True: stopped."""
    while (remaining_s := _remaining_s(member) - until_s) > 0:
        if session.stop.wait(min(remaining_s, _LOOK_S)):
            return True
    return session.stop.is_set()


def _remaining_s(member: Membership) -> float:
    assert member.starts_at is not None  # noqa: S101 - the callers' condition
    return (member.starts_at - datetime.now(UTC) - member.skew).total_seconds()
