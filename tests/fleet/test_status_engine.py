"""`hps fleet status --engine`: what an engine has of a fleet beside what the bucket says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hps.fleet import text
from hps.fleet.engine import FleetRequest, Instance, Offer, Started
from hps.fleet.salad.group import GROUP_ENV
from hps.fleet.status import open_fleet
from hps.fleet.text import Spending
from hps.process.stop import NEVER
from tests.command import hps
from tests.fleet.stored import StoredFleet
from tests.servers.rclone_s3 import serve_s3
from tests.servers.salad import SaladSimulation, SimulatedInstance, simulated_salad

_NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_OFFERS = (
    Offer(name="RTX 4090", usd_per_hour=0.30, source="a list, 2026-11-30"),
    Offer(name="RTX 3060", usd_per_hour=0.10, source="a list, 2026-11-30"),
)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredFleet]:
    with serve_s3(tmp_path / "served") as server:
        yield StoredFleet(server=server, served=tmp_path / "served", file=tmp_path / "stored.yaml")


@pytest.fixture
def salad() -> Iterator[SaladSimulation]:
    with simulated_salad() as simulation:
        yield simulation
        assert simulation.wrong == []


def _instance(state: str, hours: float | None, *, is_billed: bool) -> Instance:
    since = None if hours is None else _NOW - timedelta(hours=hours)
    return Instance(id="i", machine_id="m", state=state, is_billed=is_billed, since=since)


_STARTED = Started(
    names=("hps-first-1",),
    state="running",
    instances=(
        _instance("running", 2.0, is_billed=True),
        _instance("running", 3.0, is_billed=True),
        _instance("allocating", 9.0, is_billed=False),
    ),
)


def test_money_is_that_of_the_containers_that_are_billed() -> None:
    spending = Spending(engine="SaladCloud", started=_STARTED, offers=_OFFERS)
    assert dict(spending.states) == {"running": 2, "allocating": 1}
    assert spending.usd_per_hour == pytest.approx((0.2, 0.6))
    assert spending.usd_so_far(_NOW) == pytest.approx((0.5, 1.5))


def test_what_is_not_known_is_no_money() -> None:
    unpriced = Spending(engine="kubernetes", started=_STARTED)
    assert (unpriced.usd_per_hour, unpriced.usd_so_far(_NOW)) == (None, None)
    undated = replace(_STARTED, instances=(_instance("running", None, is_billed=True),))
    assert Spending(engine="e", started=undated, offers=_OFFERS).usd_so_far(_NOW) is None
    nothing = Spending(engine="e", started=None, offers=_OFFERS)
    assert (nothing.billed, nothing.usd_per_hour, nothing.usd_so_far(_NOW)) == (0, None, None)


def test_it_is_part_of_the_screen_which_fits_80_columns(stored: StoredFleet) -> None:
    stored.node("node-1", (0, 1), done=2)
    with open_fleet(stored.spec, stored.env, NEVER) as observer:
        found = replace(observer.look(), at=_NOW)
    names = tuple(f"hps-{'x' * 45}-{number}" for number in range(9))
    states = (f"state-{number}" for number in range(40))
    many = tuple(_instance(state, 1.0, is_billed=True) for state in states)
    started = replace(_STARTED, names=names, instances=many, remark="no machine: " + "y" * 300)
    shown = text.as_text(found, Spending(engine="SaladCloud", started=started, offers=_OFFERS))
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    assert "36 in other states" in words
    assert "40 billed now, about $4.00 to $12.00 an hour; about $4.00 to $12.00 so far" in words
    gone = text.as_text(found, Spending(engine="SaladCloud", started=None))
    assert "has nothing of this fleet" in gone


def test_a_fleet_on_saladcloud_is_found_by_its_experiment(
    stored: StoredFleet, salad: SaladSimulation
) -> None:
    stored.node("node-1", (0, 1), done=2)
    request = FleetRequest(
        spec=stored.spec, fleet=stored.fleet, file=str(stored.file), image="", nodes=6
    )
    group = salad.put(f"{request.name}-1", **{GROUP_ENV: request.name})
    group.status = "running"
    group.instances += [
        SimulatedInstance(machine_id=str(uuid.uuid4()), state="running"),
        SimulatedInstance(machine_id=str(uuid.uuid4()), state="allocating"),
    ]
    env = {**stored.env, **salad.env()}
    asked = ("fleet", "status", stored.file, "--engine", "saladcloud")
    ran = hps(*asked, env=env)
    assert ran.code == 0, ran.err
    assert "1 running, 1 allocating" in ran.out
    assert "1 billed now" in ran.out
    told = json.loads(hps(*asked, "--format", "json", env=env).out)["engine"]
    assert (told["states"], told["billed"]) == ({"running": 1, "allocating": 1}, 1)
    assert salad.key not in ran.out + ran.err


def test_without_an_engine_no_key_of_one_is_needed(stored: StoredFleet) -> None:
    stored.node("node-1", (0, 1), done=2)
    asked = ("fleet", "status", stored.file)
    assert hps(*asked, env=stored.env).code == 0
    refused = hps(*asked, "--engine", "saladcloud", env=stored.env)
    assert (refused.code, refused.out) == (2, "")
    assert "SALAD_" in refused.err
