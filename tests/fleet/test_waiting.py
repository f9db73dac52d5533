"""What waiting comes to: which exit code, when machines are taken away, and when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from hps.errors import HpsError
from hps.fleet.engine import FleetRequest, Instance, Offer, Say, Started
from hps.fleet.rules import StopRules
from hps.fleet.status import FleetStatus
from hps.fleet.waiting import FleetWatch
from tests.fleet.test_rules import BEGAN, make_status

_HOUR = timedelta(hours=1)


def _started(running: int) -> Started:
    instances = tuple(
        Instance(id=str(number), machine_id="", state="running", is_billed=True, since=BEGAN)
        for number in range(running)
    )
    return Started(names=("hps-first-october",), state="running", instances=instances)


@dataclass(slots=True)
class _Engine:
    """Has as many machines at each look as are named, the last number for all further ones."""

    running: list[int]
    stays: int = 0
    removed: int = 0
    looks: int = 0
    name: str = "SaladCloud"

    def render(self, request: FleetRequest) -> str:
        raise NotImplementedError

    def offers(self, request: FleetRequest) -> tuple[Offer, ...]:
        raise NotImplementedError

    def start(self, request: FleetRequest, env: Mapping[str, str], say: Say) -> Started:
        raise NotImplementedError

    def find(self, name: str) -> Started | None:
        self.looks += 1
        return _started(self.running[min(self.looks, len(self.running)) - 1])

    def remove(self, name: str, say: Say) -> Started | None:
        self.removed += 1
        return _started(self.stays) if self.stays else None

    def logs(self, name: str, most_lines: int) -> tuple[str, ...]:
        raise NotImplementedError


@dataclass(slots=True)
class _Somebody:
    """Who waits: the pauses, what was said, and the reasons with which the fleet was ended."""

    sees: list[FleetStatus | HpsError]
    gives_up_after: int = 99
    slept: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def look(self) -> FleetStatus:
        found = self.sees.pop(0) if len(self.sees) > 1 else self.sees[0]
        if isinstance(found, HpsError):
            raise found
        return found

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return len(self.slept) >= self.gives_up_after

    def waits(self, engine: _Engine | None, rules: StopRules | None = None) -> FleetWatch:
        return FleetWatch(
            look=self.look,
            end=self.reasons.append,
            engine=engine,
            name="hps-first-october",
            rules=rules or StopRules(began_at=BEGAN, most_usd=5.0),
            usd_per_hour=1.0,
            poll_s=30.0,
            drain_s=300.0,
            timeout_s=None,
            keep=False,
            sleep=self.sleep,
            show=lambda look: self.lines.append(str(look.spent_usd)),
            say=self.lines.append,
        )


@pytest.mark.parametrize(
    ("status", "machines", "rule", "code"),
    [
        (make_status(done=10), 1, "enough", 0),
        (make_status(BEGAN + _HOUR, at_work=6), 6, "money", 4),
        (replace(make_status(at_work=6), ends_at=BEGAN), 1, "time", 4),
        (replace(make_status(lost=6), at=BEGAN + _HOUR), 1, "quiet", 5),
        (make_status(rejected=19, done=1), 1, "turned_down", 3),
        (replace(make_status(at_work=6), why_over="it was ended"), 1, "ended", 4),
    ],
)
def test_each_rule_ends_the_fleet_and_has_its_exit_code(
    status: FleetStatus, machines: int, rule: str, code: int
) -> None:
    somebody, engine = _Somebody(sees=[status]), _Engine(running=[machines, 0])
    end = somebody.waits(engine).run()
    assert end.reason is not None
    assert (end.reason.rule, end.code) == (rule, code)
    # What is ended is not ended again.
    assert somebody.reasons == ([] if rule == "ended" else [end.reason.why])
    assert engine.removed == 1


def test_machines_have_time_to_end_by_themselves_and_no_more() -> None:
    done = make_status(done=10)
    quick, somebody = _Engine(running=[3, 2, 1, 0]), _Somebody(sees=[done])
    somebody.waits(quick).run()
    assert (quick.looks, somebody.slept) == (4, [30.0, 30.0])
    slow, hurried = _Engine(running=[3]), _Somebody(sees=[done])
    replace(hurried.waits(slow), drain_s=0.0).run()
    assert (slow.removed, hurried.slept) == (1, [])


def test_who_is_interrupted_while_machines_end_takes_them_away_at_once() -> None:
    engine, somebody = (
        _Engine(running=[3]),
        _Somebody(sees=[make_status(done=10)], gives_up_after=1),
    )
    end = somebody.waits(engine).run()
    assert (engine.removed, len(somebody.slept), end.code) == (1, 1, 0)


def test_what_is_billed_and_stays_is_more_important_than_the_rule() -> None:
    engine = _Engine(running=[2, 0], stays=1)
    assert _Somebody(sees=[make_status(done=10)]).waits(engine).run().code == 1


def test_nothing_is_taken_away_where_nobody_may_or_can() -> None:
    kept, somebody = _Engine(running=[2]), _Somebody(sees=[make_status(done=10)])
    assert replace(somebody.waits(kept), keep=True).run().code == 0
    assert (kept.removed, len(somebody.reasons)) == (0, 1)
    alone = _Somebody(sees=[make_status(done=10)])
    assert alone.waits(None).run().code == 0
    assert len(alone.reasons) == 1


def test_who_gives_up_ends_nothing() -> None:
    engine = _Engine(running=[2])
    somebody = _Somebody(sees=[make_status(at_work=2)], gives_up_after=3)
    end = somebody.waits(engine).run()
    assert (end.reason, end.code, len(somebody.slept)) == (None, 7, 3)
    assert (engine.removed, somebody.reasons) == (0, [])


def test_a_look_that_fails_is_followed_by_another_but_not_the_first() -> None:
    away, well, done = HpsError("no answer"), make_status(at_work=1), make_status(done=10)
    somebody = _Somebody(sees=[well, away, away, done])
    assert somebody.waits(_Engine(running=[1, 0])).run().code == 0
    assert somebody.lines.count("no answer; looking again") == 2
    with pytest.raises(HpsError, match="no answer"):
        _Somebody(sees=[away, well]).waits(None).run()
    with pytest.raises(HpsError, match="no answer") as found:
        _Somebody(sees=[well, away]).waits(None).run()
    assert found.value.exit_code == 1
