"""Fleets on SaladCloud: started once, found by anybody, taken away whole, whatever goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from hps.errors import HpsError
from hps.fleet.engine import Engine, FleetRequest, Started
from hps.fleet.salad import SaladCloud
from tests.fleet.salad.conftest import KEYS, fleet_request, impatient
from tests.servers.salad import GPU_CLASSES, SaladSimulation, SimulatedInstance, wait_until

_GROUPS = "/containers$"
_NAME = "hps-first-october"
_QUIET: Callable[[str], None] = lambda _: None  # noqa: E731


def _start(cloud: SaladCloud, request: FleetRequest | None = None) -> Started:
    return cloud.start(request or fleet_request(), KEYS, _QUIET)


def _fails(cloud: SaladCloud, request: FleetRequest | None = None) -> tuple[HpsError, list[str]]:
    """The error of a start, and what was said meanwhile."""
    lines: list[str] = []
    with pytest.raises(HpsError) as raised:
        cloud.start(request or fleet_request(), KEYS, lines.append)
    everything = "\n".join([raised.value.message, raised.value.hint, *lines])
    assert not [value for value in KEYS.values() if value in everything]
    return raised.value, lines


def test_a_fleet_is_started_once(cloud: SaladCloud, salad: SaladSimulation) -> None:
    engine: Engine = cloud
    assert engine.find(_NAME) is None
    first, again = _start(cloud), _start(cloud)
    assert first == again == Started(names=(_NAME,), state="pending", instances=())
    assert salad.requests("POST", "/containers") == 1
    assert list(salad.groups) == [_NAME]


def test_many_nodes_are_several_groups_and_what_is_missing_is_added(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    started = _start(cloud, fleet_request(nodes=900))
    assert started.names == (_NAME, f"{_NAME}-2", f"{_NAME}-3")
    assert [group.body["replicas"] for group in salad.groups.values()] == [500, 500, 125]
    del salad.groups[f"{_NAME}-2"]
    again = _start(cloud, fleet_request(nodes=900))
    assert sorted(again.names) == [_NAME, f"{_NAME}-3", f"{_NAME}-4"]
    assert sum(group.body["replicas"] for group in salad.groups.values()) == 1125


def test_a_name_that_was_used_is_followed_by_the_next(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    _start(cloud)
    assert cloud.remove(_NAME, _QUIET) is None
    assert _start(cloud).names == (f"{_NAME}-2",)
    found = cloud.find(_NAME)
    assert found is not None
    assert found.names == (f"{_NAME}-2",)
    assert _start(cloud) == found
    assert cloud.remove(_NAME, _QUIET) is None
    assert (salad.groups, cloud.find(_NAME)) == ({}, None)


def test_names_are_used_up_in_the_end(cloud: SaladCloud, salad: SaladSimulation) -> None:
    salad.used_names |= {_NAME, *(f"{_NAME}-{number}" for number in range(2, 21))}
    error, _ = _fails(cloud)
    assert "used up" in error.message
    assert "HPS_FLEET" in error.hint
    assert salad.groups == {}


def test_instances_cost_money_while_they_run(cloud: SaladCloud, salad: SaladSimulation) -> None:
    _start(cloud)
    states = ("allocating", "downloading", "creating", "running", "running", "stopping")
    group = salad.groups[_NAME]
    group.instances = [
        SimulatedInstance(machine_id=f"00000000-0000-0000-0000-00000000000{number}", state=state)
        for number, state in enumerate(states)
    ]
    group.status = "running"
    found = cloud.find(_NAME)
    assert found is not None
    assert (found.state, found.billed, len(found.instances)) == ("running", 2, 6)
    assert [one.is_billed for one in found.instances] == [False] * 3 + [True] * 2 + [False]
    assert found.instances[0].since is not None
    assert abs((found.instances[0].since - group.instances[0].since).total_seconds()) < 0.01


def test_what_belongs_to_others_is_never_touched(cloud: SaladCloud, salad: SaladSimulation) -> None:
    """A group of the same name that somebody made by hand, and another fleet's."""
    salad.put(_NAME)
    salad.put(f"{_NAME}-2", HPS_FLEET="october-2", HPS_FLEET_GROUP=f"{_NAME}-2")
    assert cloud.find(_NAME) is None
    assert cloud.remove(_NAME, _QUIET) is None
    assert _start(cloud).names == (f"{_NAME}-3",)
    assert cloud.remove(_NAME, _QUIET) is None
    assert list(salad.groups) == [_NAME, f"{_NAME}-2"]
    assert [path for method, path in salad.asked if method == "DELETE"] == [
        f"/organizations/acme-corp/projects/dev-env/containers/{_NAME}-3"
    ]


@pytest.mark.parametrize("more", [{"image": "example.com/hps:2"}, {"fleet": "other"}])
def test_a_group_with_another_image_or_fleet_is_an_error(
    cloud: SaladCloud, salad: SaladSimulation, more: dict[str, str]
) -> None:
    variables = {"HPS_FLEET": more.get("fleet", "october"), "HPS_FLEET_GROUP": _NAME}
    salad.put(_NAME, more.get("image", "example.com/hps:1"), **variables)
    error, _ = _fails(cloud)
    assert f"the group {_NAME} is there already" in error.message
    assert list(salad.groups) == [_NAME]
    assert salad.requests("POST", "/containers") == 0


def test_a_fleet_is_found_among_more_groups_than_are_listed(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    for number in range(100):
        salad.put(f"other-{number}")
    assert _start(cloud, fleet_request(nodes=500)).names == (_NAME, f"{_NAME}-2")
    assert cloud.remove(_NAME, _QUIET) is None
    assert len(salad.groups) == 100


def test_a_quota_that_is_too_small_is_said_before_anything_is_made(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    salad.put("other")
    salad.quota = 10
    error, _ = _fails(cloud)
    assert "10 instances are asked for, and of 10 1 are in use" in error.message
    assert salad.requests("POST", "/containers") == 0
    salad.quota = 11
    assert _start(cloud).names == (_NAME,)


# --- Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost", "broken", "429"])
def test_a_creation_whose_answer_is_lost_is_found(
    cloud: SaladCloud, salad: SaladSimulation, kind: str
) -> None:
    salad.fail("POST", _GROUPS, kind)
    assert _start(cloud).names == (_NAME,)
    assert list(salad.groups) == [_NAME]
    assert salad.requests("POST", "/containers") == (2 if kind == "429" else 1)


def test_a_creation_that_comes_late_is_waited_for(salad: SaladSimulation) -> None:
    salad.fail("POST", _GROUPS, "late", after_s=1.5)
    patient = impatient(SaladCloud.open(salad.env()), time.sleep)
    assert _start(patient).names == (_NAME,)
    assert salad.requests("POST", "/containers") == 1


@pytest.mark.parametrize("kind", ["html", "silent", "500", "400", "403"])
def test_what_a_failed_start_has_made_is_deleted_again(
    cloud: SaladCloud, salad: SaladSimulation, kind: str
) -> None:
    """The second of three groups fails."""
    salad.fail("GET", "/quotas", "429", times=2)

    def say(line: str) -> None:
        if not salad.faults[1:]:
            salad.fail("POST", _GROUPS, kind, detail=f"no good: {KEYS['TEST_SECRET']}")
        lines.append(line)

    lines: list[str] = []
    with pytest.raises(HpsError) as raised:
        cloud.start(fleet_request(nodes=900), KEYS, say)
    assert salad.groups == {}
    assert f"deleted again: {_NAME}" in lines
    assert "NOT" not in raised.value.message + "".join(lines)
    assert not [value for value in KEYS.values() if value in f"{raised.value} {lines}"]
    assert ("no good: [TEST_SECRET]" in raised.value.message) == kind.isdigit()
    assert salad.requests("POST", "/containers") == 2


@pytest.mark.parametrize("path", ["/quotas", _GROUPS, "/instances"])
@pytest.mark.parametrize("kind", ["html", "401", "429"])
def test_no_failure_leaves_anything(
    cloud: SaladCloud, salad: SaladSimulation, path: str, kind: str
) -> None:
    salad.fail("GET", path, kind, times=9)
    _fails(cloud)
    assert salad.groups == {}


def test_what_cannot_be_deleted_is_named_loudly(cloud: SaladCloud, salad: SaladSimulation) -> None:
    salad.fail("GET", "/instances", "401")
    salad.fail("DELETE", _NAME, "500", times=99)
    error, lines = _fails(cloud)
    assert list(salad.groups) == [_NAME]
    assert f"NOT deleted, and billed: {_NAME}" in error.message
    assert [line for line in lines if "NOT deleted" in line and _NAME in line]


def test_groups_of_another_call_stay_where_this_one_fails(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    _start(cloud, fleet_request(nodes=400))
    salad.fail("POST", _GROUPS, "500")
    _fails(cloud, fleet_request(nodes=500))
    assert list(salad.groups) == [_NAME]


@pytest.mark.parametrize("is_well", [True, False])
def test_a_fleet_that_another_call_starts_meanwhile_is_left_to_it(
    cloud: SaladCloud, salad: SaladSimulation, *, is_well: bool
) -> None:
    """Its group comes between the list and the creation."""

    def meanwhile(method: str, _: str) -> None:
        if method == "POST" and not salad.groups:
            variables = {"HPS_FLEET": "october", "HPS_FLEET_GROUP": _NAME}
            salad.put(_NAME, "example.com/hps:1", **variables).body["replicas"] = 10

    salad.before = meanwhile
    if is_well:
        assert _start(cloud).names == (_NAME,)
    else:
        salad.fail("GET", "/instances", "401")
        _fails(cloud)
    assert list(salad.groups) == [_NAME]


def test_ctrl_c_leaves_nothing(cloud: SaladCloud, salad: SaladSimulation) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cloud.start(fleet_request(nodes=900), KEYS, say)
    assert salad.groups == {}
    assert lines[2:] == [f"deleted again: {_NAME}", f"deleted again: {_NAME}-2"]


def test_ctrl_c_while_a_group_is_being_created_leaves_nothing(salad: SaladSimulation) -> None:
    """The signal comes when the request has left and its answer has not come."""
    salad.fail("POST", _GROUPS, "late", after_s=1.0)
    patient = impatient(SaladCloud.open(salad.env()), time.sleep)
    patient = replace(patient, client=replace(patient.client, timeout_s=30.0))

    def interrupt() -> None:
        wait_until(lambda: salad.requests("POST", "/containers") == 1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _start(patient)
    thread.join()
    assert time.monotonic() - began_s < 10
    assert salad.used_names == {_NAME}
    assert salad.groups == {}


def test_a_second_ctrl_c_says_what_is_left(cloud: SaladCloud, salad: SaladSimulation) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) in {2, 3}:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cloud.start(fleet_request(nodes=900), KEYS, say)
    assert list(salad.groups) == [f"{_NAME}-2"]
    assert [line for line in lines if "NOT deleted" in line and f"{_NAME}-2" in line]


@pytest.mark.parametrize("kind", ["html", "silent", "lost", "429"])
def test_removing_is_repeated_until_it_is_done(
    cloud: SaladCloud, salad: SaladSimulation, kind: str
) -> None:
    _start(cloud, fleet_request(nodes=500))
    salad.fail("DELETE", "", kind, times=2)
    assert cloud.remove(_NAME, _QUIET) is None
    assert salad.groups == {}


@pytest.mark.parametrize(("looks", "is_gone"), [(3, True), (99, False)])
def test_a_group_that_is_deleted_slowly_is_waited_for(
    cloud: SaladCloud, salad: SaladSimulation, slept: list[float], looks: int, *, is_gone: bool
) -> None:
    """SaladCloud accepts a deletion, and does it later."""
    _start(cloud)
    salad.lingers_looks = looks
    left = replace(cloud, gone_s=3600.0 if is_gone else 2.0).remove(_NAME, _QUIET)
    assert (left is None) == is_gone
    assert left is None or left.names == (_NAME,)
    assert slept == ([1.0, 2.0, 4.0] if is_gone else slept)
    assert is_gone or len(slept) <= 2


def test_one_group_that_cannot_be_removed_keeps_no_other(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    _start(cloud, fleet_request(nodes=900))
    salad.fail("DELETE", f"{_NAME}$", "403")
    lines: list[str] = []
    left = cloud.remove(_NAME, lines.append)
    assert left is not None
    assert left.names == (_NAME,)
    assert lines.count(f"NOT deleted, and billed: {_NAME}") == 1
    assert cloud.remove(_NAME, lines.append) is None


# --- What it costs, and what it says -------------------------------------------------------------


def test_offers_have_the_price_of_the_priority(cloud: SaladCloud, salad: SaladSimulation) -> None:
    named = ("RTX 4090 (24 GB)",)
    (batch,) = cloud.offers(fleet_request(gpu_classes=named))
    (high,) = cloud.offers(fleet_request(gpu_classes=named, priority="high"))
    assert (batch.name, batch.usd_per_hour, high.usd_per_hour) == (named[0], 0.16, 0.30)
    assert (batch.available, high.available) == (7, 7)
    assert "SaladCloud's API, 20" in batch.source
    assert cloud.offers(fleet_request(gpu_classes=named, priority="low")) == ()
    every = cloud.offers(fleet_request(gpus=1))
    assert [one.name for one in every] == [one["name"] for one in GPU_CLASSES]
    (plain,) = cloud.offers(fleet_request(cpus=1, memory_mib=2048))
    assert plain.usd_per_hour == pytest.approx(0.006)
    assert (plain.available, "2026-04-09" in plain.source) == (None, True)
    salad.fail("POST", "sce-gpu-availability", "html")
    (unknown,) = cloud.offers(fleet_request(gpu_classes=named))
    assert unknown.available is None


def test_logs_are_the_newest_lines_of_all_groups(cloud: SaladCloud, salad: SaladSimulation) -> None:
    _start(cloud, fleet_request(nodes=500))
    assert cloud.logs(_NAME, 10) == ()
    machine = SimulatedInstance(machine_id="00000000-0000-0000-0000-000000000009", state="running")
    for number in range(40):
        for group in salad.groups.values():
            group.log(f"event {number:02d}\x1b[31m", machine)
    lines = cloud.logs(_NAME, 10)
    assert len(lines) == 10
    ends = [f"{number}\ufffd[31m" for number in range(35, 40) for _ in salad.groups]
    assert [line.split()[-1] for line in lines] == ends
    assert all(machine.machine_id in line and line.isprintable() for line in lines)
    assert (len(cloud.logs(_NAME, 1000)), cloud.logs(_NAME, 0)) == (80, ())
