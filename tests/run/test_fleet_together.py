"""Nodes that begin together: at one instant, the same cells in the same order, and none later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from hps.cli.run import Ended
from hps.node.probe.clock import DatedAnswer, combine, find_clock
from hps.process.stop import SignalStop
from hps.redaction import Scrubber
from hps.run import together
from hps.run.fleet import FleetOver
from hps.run.run import Ending, Outcome
from tests.command import keys_of
from tests.run.sharing import OwnFleet, run_here
from tests.servers.s3_server import S3Server

_TOGETHER = "{per_node: {cells: 2}, start: together}"


def _code(ending: Ending) -> int:
    return Ended(outcome=ending, stopped=None, scrubber=Scrubber({})).code


def _instant(in_s: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=in_s)


def test_all_begin_at_the_instant_and_measure_the_same_cells_in_the_same_order(
    s3_server: S3Server, tmp_path: Path
) -> None:
    own, order = OwnFleet(tmp_path, s3_server, _TOGETHER), []
    for name in ("first", "second"):
        at = _instant(10)
        ran = own.node(name, HPS_FLEET=name, HPS_FLEET_START=at.isoformat())
        assert ran.code == 0, ran.err
        (line,) = [record for record in ran.records() if record["kind"] == "run"]
        told = line["fleet"]
        assert datetime.fromisoformat(told["starts_at"]) == at
        assert abs(told["clock_offset_s"]) <= told["clock_error_s"] + 0.01 < 1
        began = [datetime.fromisoformat(result["started_at"]) for result in ran.results()]
        assert min(began) >= at - timedelta(seconds=told["clock_error_s"])
        order.append([(result["cell"], result["step"]) for result in ran.results()])
    assert order[0] == order[1]
    assert len(order[0]) == 4


def test_one_that_comes_late_does_not_join(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, _TOGETHER)
    ending, _ = run_here(own, "late", HPS_FLEET_START=_instant(-5).isoformat())
    assert isinstance(ending, FleetOver)
    assert (ending.everywhere, _code(ending)) == (True, 0)
    assert "its nodes began together at" in ending.why
    assert own.announced() == []


def test_one_that_is_ready_too_late_measures_nothing(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "why_late", lambda *_: "")
    own = OwnFleet(tmp_path, s3_server, _TOGETHER)
    ending, seen = run_here(own, "slow", HPS_FLEET_START=_instant(-90).isoformat())
    assert isinstance(ending, Outcome)
    assert (ending.tally.counts, _code(ending)) == ({}, 0)
    assert seen.named("fleet_start_missed")
    assert not any(name.endswith("/done") for name in own.announced())


def test_one_that_is_stopped_while_it_waits_ends(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, _TOGETHER)

    class _Stopped(SignalStop):
        def wait(self, timeout: float) -> bool:
            self.handle(15, None)
            return True

    at = _instant(500).isoformat()
    ending, seen = run_here(own, "node", stop=_Stopped(), HPS_FLEET_START=at)
    assert isinstance(ending, Outcome)
    assert (ending.tally.counts, ending.tally.over) == ({}, False)
    assert seen.named("fleet_waits")


@pytest.mark.parametrize(
    ("fleet", "start", "told"),
    [
        ("{start: together}", "", "nothing says when"),
        ("{start: together}", "tomorrow", "HPS_FLEET_START"),
        ("{start: together}", "2026-12-01T18:00:00", "no time with its zone"),
        ("{per_node: all}", "2026-12-01T18:00:00Z", "don't begin together"),
    ],
)
def test_what_cannot_begin_together_says_so(
    fleet: str, start: str, told: str, s3_server: S3Server, tmp_path: Path
) -> None:
    refused = OwnFleet(tmp_path, s3_server, fleet).node("node", HPS_FLEET_START=start)
    assert refused.code == 2
    assert told in refused.err


def test_the_instant_may_stand_in_the_file(s3_server: S3Server, tmp_path: Path) -> None:
    described = "{start: together, starts_at: 2020-01-01T18:00:00+02:00}"
    own = OwnFleet(tmp_path, s3_server, described)
    assert "2020-01-01 16:00:00 UTC" in own.node("late").err
    spec = own.loaded(keys_of(s3_server))
    assert spec.fleet is not None
    later = {"HPS_FLEET_START": "2030-01-01T00:00:00Z"}
    assert together.start_of(spec.fleet, later) == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("rtt_s", [0.0, 0.02, 0.15])
@pytest.mark.parametrize("seed", range(20))
def test_several_dates_of_whole_seconds_tell_more_than_one(rtt_s: float, seed: int) -> None:
    chance = Random(seed)
    offset_s, now_s = chance.uniform(-100, 100), 1e9 + chance.random()
    answers = []
    for _ in range(12):
        told_s = now_s + chance.random() * rtt_s
        date_s = float(int(told_s + offset_s))
        answers.append(DatedAnswer(date_s=date_s, sent_s=now_s, received_s=now_s + rtt_s))
        now_s += rtt_s + 0.1
    found = combine(answers)
    assert found is not None
    assert found.error_s <= 0.05 + rtt_s + 1e-6
    assert abs(found.offset_s - offset_s) <= found.error_s + 1e-6
    one = combine(answers[:1])
    assert one is not None
    assert one.error_s >= 0.5


def test_no_answer_is_no_clock(s3_server: S3Server, tmp_path: Path) -> None:
    own = OwnFleet(tmp_path, s3_server, _TOGETHER)
    target = own.loaded(keys_of(s3_server)).targets["store"]
    found = find_clock(target, timeout_s=10.0)
    assert found is not None
    assert abs(found.offset_s) <= found.error_s + 0.01
    assert combine([]) is None
    assert find_clock(target, timeout_s=0.0) is None
