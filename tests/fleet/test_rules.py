"""When a fleet that somebody waits for ends: each rule, their order, what machines have cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hps.fleet.engine import Instance, Started
from hps.fleet.progress import FleetProgress, NodeProgress
from hps.fleet.rules import BilledTime, StopRules, find_reason
from hps.fleet.status import FleetStatus, JournalsRead, NodeStatus

BEGAN = datetime(2026, 11, 30, 8, tzinfo=UTC)
_RULES = StopRules(began_at=BEGAN)
_MINUTE = timedelta(minutes=1)
_UNKNOWN = FleetProgress(
    done=None,
    planned=0,
    is_estimate=False,
    per_min=None,
    bytes_per_min=None,
    window_s=0.0,
    left_s=None,
    why_not_left="",
)


def make_status(at: datetime = BEGAN, **counts: int) -> FleetStatus:
    """Of a fleet whose nodes, so many in each state, have all been heard of at that time."""
    nodes = tuple(
        NodeStatus(
            machine_id=f"{state}-{number}",
            state=state,
            cells=(0,),
            seen_at=at,
            progress=NodeProgress(planned=2, done=None),
        )
        for state, count in counts.items()
        for number in range(count)
    )
    return FleetStatus(
        fleet="october",
        experiment="first",
        at=at,
        wanted=10,
        nodes=nodes,
        covered=(len(nodes),),
        began_at=BEGAN,
        progress=_UNKNOWN,
        turned_down=(),
        failures=(),
        journals=JournalsRead(read=0, listed=0, bytes=0, too_large=0, is_whole=True),
    )


def _rule(rules: StopRules, status: FleetStatus, usd: float | None, now: datetime) -> str:
    reason = find_reason(rules, status, usd, now)
    return "" if reason is None else reason.rule


def test_a_fleet_with_nothing_wrong_goes_on() -> None:
    assert find_reason(_RULES, make_status(done=9, at_work=5), 100.0, BEGAN + 29 * _MINUTE) is None


def test_enough_machines_end_it_whatever_else_holds() -> None:
    bounded = replace(_RULES, most_usd=1.0, most_s=1.0, quiet_s=1.0)
    late = BEGAN + 600 * _MINUTE
    assert _rule(bounded, make_status(done=10), 5.0, late) == "enough"
    assert _rule(bounded, make_status(done=9), 5.0, late) == "money"
    assert _rule(bounded, make_status(done=9), 0.5, late) == "time"
    assert _rule(replace(bounded, most_s=None), make_status(done=9), 0.5, late) == "quiet"
    # --nodes is another number than that of the experiment.
    assert _rule(replace(_RULES, nodes=3), make_status(done=3), None, BEGAN) == "enough"
    assert _rule(replace(_RULES, nodes=30), make_status(done=10), None, BEGAN) == ""


@pytest.mark.parametrize(("usd", "rule"), [(None, ""), (9.99, ""), (10.0, "money")])
def test_money_counts_where_a_price_is_known(usd: float | None, rule: str) -> None:
    assert _rule(replace(_RULES, most_usd=10.0), make_status(at_work=2), usd, BEGAN) == rule


def test_the_fleets_own_end_is_one_too() -> None:
    ended = replace(make_status(at_work=2), ends_at=BEGAN + 5 * _MINUTE)
    assert _rule(_RULES, ended, None, BEGAN + 4 * _MINUTE) == ""
    assert _rule(_RULES, ended, None, BEGAN + 5 * _MINUTE) == "time"


def test_hours_count_from_the_first_node_also_where_somebody_begins_to_wait_later() -> None:
    rules = StopRules(began_at=BEGAN + 50 * _MINUTE, most_s=3600.0)
    now = BEGAN + 60 * _MINUTE
    assert _rule(rules, make_status(now, at_work=2), None, now) == "time"
    fresh = replace(make_status(now, at_work=2), began_at=None)
    assert _rule(rules, fresh, None, now) == ""


def test_half_an_hour_without_anything_new_is_quiet() -> None:
    now = BEGAN + 40 * _MINUTE
    assert _rule(_RULES, make_status(BEGAN + 11 * _MINUTE, lost=3), None, now) == ""
    assert _rule(_RULES, make_status(BEGAN + 10 * _MINUTE, lost=3), None, now) == "quiet"
    # Of a fleet of which no node ever came.
    assert (
        _rule(_RULES, replace(make_status(), began_at=None), None, BEGAN + 30 * _MINUTE) == "quiet"
    )
    # Who begins to wait for an old fleet gives it as long.
    assert _rule(replace(_RULES, began_at=now), make_status(lost=3), None, now) == ""


def test_nearly_all_turned_down_is_no_fleet_but_a_few_say_nothing() -> None:
    assert _rule(_RULES, make_status(rejected=9), None, BEGAN) == ""
    assert _rule(_RULES, make_status(rejected=9, done=1), None, BEGAN) == ""
    assert _rule(_RULES, make_status(rejected=19, done=1), None, BEGAN) == "turned_down"
    assert _rule(
        replace(_RULES, most_turned_down=0.5), make_status(rejected=6, done=4), None, BEGAN
    )


def _started(*ages_s: float, at: datetime) -> Started:
    instances = tuple(
        Instance(
            id=str(number),
            machine_id="",
            state="running" if age_s else "allocating",
            is_billed=age_s > 0,
            since=at - timedelta(seconds=age_s),
        )
        for number, age_s in enumerate(ages_s)
    )
    return Started(names=("hps-first-october",), state="running", instances=instances)


def test_machines_cost_what_they_have_run_before_and_between_looks() -> None:
    spent = BilledTime().add(_started(3600.0, 1800.0, 0.0, at=BEGAN), BEGAN)
    assert spent.billed_s == 5400.0
    assert spent.usd(0.2) == pytest.approx(0.3)
    assert spent.usd(None) is None
    # Two before, one after: two are counted.
    spent = spent.add(_started(60.0, at=BEGAN + _MINUTE), BEGAN + _MINUTE)
    assert spent.billed_s == 5520.0
    spent = spent.add(None, BEGAN + 2 * _MINUTE)
    assert spent.billed_s == 5580.0
    assert spent.add(None, BEGAN + 90 * _MINUTE).billed_s == 5580.0
