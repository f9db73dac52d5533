"""When a fleet that somebody waits for is to end: the first rule that holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hps.fleet.engine import Started
from hps.fleet.status import FleetStatus
from hps.report.values import dollars_text, percent_text
from hps.units import format_time

QUIET_S = 1800.0
MOST_TURNED_DOWN = 0.9
# Of fewer machines a share says nothing.
_FEWEST_JUDGED = 10

Rule = Literal["enough", "ended", "money", "time", "quiet", "turned_down", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """Bounds of a fleet; None: there is none. `began_at` is when somebody began to wait for it.

    `quiet_s`: so long no node may store anything. `most_turned_down`: of the machines that were
    judged, no larger share may be turned down.
    """

    began_at: datetime
    nodes: int | None = None
    most_usd: float | None = None
    most_s: float | None = None
    quiet_s: float = QUIET_S
    most_turned_down: float = MOST_TURNED_DOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """The rule that holds, and why in words."""

    rule: Rule
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledTime:
    """Running seconds of a fleet's machines so far, as they were seen at one look after another.

    Between two looks the larger number of machines counts, so that it is never too little for
    machines that were there at either.
    """

    billed_s: float = 0.0
    machines: int = 0
    seen_at: datetime | None = None

    def add(self, started: Started | None, now: datetime) -> BilledTime:
        """The same with one more look."""
        machines = 0 if started is None else started.billed
        if self.seen_at is None:
            return BilledTime(billed_s=_since_s(started, now), machines=machines, seen_at=now)
        passed_s = max(0.0, (now - self.seen_at).total_seconds())
        billed_s = self.billed_s + passed_s * max(machines, self.machines)
        return BilledTime(billed_s=billed_s, machines=machines, seen_at=now)

    def usd(self, usd_per_hour: float | None) -> float | None:
        """What that costs; None where the price is unknown."""
        return None if usd_per_hour is None else self.billed_s / 3600 * usd_per_hour


def find_reason(
    rules: StopRules, status: FleetStatus, spent_usd: float | None, now: datetime
) -> StopReason | None:
    """The first rule that holds, in this order; None: the fleet goes on."""
    return (
        _enough(rules, status)
        or _money(rules, spent_usd)
        or _time(rules, status, now)
        or _ended(status)
        or _quiet(rules, status, now)
        or _turned_down(rules, status)
    )


def _enough(rules: StopRules, status: FleetStatus) -> StopReason | None:
    wanted, done = rules.nodes or status.wanted, status.count("done")
    if wanted is None or done < wanted:
        return None
    return StopReason(rule="enough", why=f"{done:,} machines have measured their cells")


def _ended(status: FleetStatus) -> StopReason | None:
    """No node begins any more, whatever this fleet was waited for."""
    return StopReason(rule="ended", why=status.why_over) if status.why_over else None


def _money(rules: StopRules, spent_usd: float | None) -> StopReason | None:
    if rules.most_usd is None or spent_usd is None or spent_usd < rules.most_usd:
        return None
    spent, most = dollars_text(spent_usd), dollars_text(rules.most_usd)
    return StopReason(rule="money", why=f"the machines have cost about {spent} of {most}")


def _time(rules: StopRules, status: FleetStatus, now: datetime) -> StopReason | None:
    if status.ends_at is not None and now >= status.ends_at:
        return StopReason(rule="time", why=f"it has ended at {status.ends_at:%H:%M:%S} UTC")
    began_at = min(rules.began_at, status.began_at or rules.began_at)
    if rules.most_s is None or now - began_at < timedelta(seconds=rules.most_s):
        return None
    return StopReason(rule="time", why=f"it has taken {format_time(rules.most_s)}")


def _quiet(rules: StopRules, status: FleetStatus, now: datetime) -> StopReason | None:
    seen = [node.seen_at for node in status.nodes if node.seen_at is not None]
    latest = max([rules.began_at, *seen])
    if now - latest < timedelta(seconds=rules.quiet_s):
        return None
    why = f"no node has stored anything for {format_time(rules.quiet_s)}"
    return StopReason(rule="quiet", why=why)


def _turned_down(rules: StopRules, status: FleetStatus) -> StopReason | None:
    judged, rejected = len(status.nodes), status.count("rejected")
    if judged < _FEWEST_JUDGED or rejected <= rules.most_turned_down * judged:
        return None
    why = f"{rejected:,} of {judged:,} machines were turned down, {percent_text(rejected / judged)}"
    return StopReason(rule="turned_down", why=why)


def _since_s(started: Started | None, now: datetime) -> float:
    """Running seconds until the first look, of the machines that still run."""
    running = () if started is None else started.instances
    begun = (one.since for one in running if one.is_billed and one.since is not None)
    return sum(max(0.0, (now - since).total_seconds()) for since in begun)
