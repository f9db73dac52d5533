"""What is said of a fleet before it is started: sums done by hand, and what is unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hps.fleet import forecast_text
from hps.fleet.engine import FleetRequest, Offer
from hps.fleet.forecast import (
    ARRIVALS,
    Bandwidth,
    Forecast,
    NodeShare,
    find_longest_s,
    forecast,
)
from hps.model import Fleet, NodeRules, Spec
from hps.plan.estimate import estimate
from hps.plan.expand import expand
from tests.builders import MIB, axis, make_spec, steps

_CHEAP = Offer(name="RTX 3090", usd_per_hour=0.1, source="a list of 2026-11-30", available=40)
_DEAR = Offer(name="RTX 4090", usd_per_hour=0.3, source="a list of 2026-11-30")


def _spec(cells: int | None = 2, fleet: Fleet | None = None, **changes: Any) -> Spec:
    return make_spec(
        axis("size", *(number * MIB for number in range(1, 9))),
        steps=steps("upload", "delete"),
        fleet=fleet or Fleet(nodes=80, cells=cells),
        **changes,
    )


def _forecast(
    spec: Spec,
    *offers: Offer,
    engine: str = "saladcloud",
    nodes: int = 80,
    upload: float | None = 8.0,
    **rest: Any,
) -> Forecast:
    request = FleetRequest(spec=spec, fleet="october", file="x", image="i", nodes=nodes)
    return forecast(request, engine, offers, Bandwidth(upload_mbps=upload), **rest)


def _share(found: Forecast) -> NodeShare:
    assert found.node.share is not None
    return found.node.share


def test_all_nodes_together_do_the_whole_as_often_as_their_shares_come_to() -> None:
    found, whole = _forecast(_spec()), estimate(expand(_spec()), upload_mbps=8.0)
    assert (found.asked, _share(found).cells, found.cells) == (100, 2, 8)
    assert found.nodes_per_cell == 20
    assert _share(found).operations == whole.operations / 4 == 4
    # 50 nodes choose their cells, so that none is chosen more often than the others but once.
    assert _share(found).up_bytes == pytest.approx(whole.up_bytes / 4, rel=0.1)
    assert found.node.duration_s == pytest.approx((whole.duration_s or 0) / 4, rel=0.1)
    assert _share(_forecast(_spec(cells=None))).up_bytes == whole.up_bytes


def test_machines_come_as_the_published_test_says_and_what_it_does_not_say_is_unknown() -> None:
    found = _forecast(_spec())
    # 80 of 100 are wanted: 40 and 72 of 100.
    assert found.times.half_nodes_s == pytest.approx(8 * 60)
    assert found.times.most_nodes_s == pytest.approx((10 + 10 * 22 / 30) * 60)
    arrivals = ARRIVALS["saladcloud"]
    found_s = [arrivals.find_s(share) for share in (0.0, 0.5, 0.85, 0.9)]
    assert found_s == pytest.approx([0, 600, 1800, 2400])
    assert arrivals.find_s(0.91) is None
    other = _forecast(_spec(), _CHEAP, engine="kubernetes")
    assert (other.times.half_nodes_s, other.times.half_measured_s, other.likely_usd) == (
        None,
        None,
        None,
    )
    assert "unknown when they run" in forecast_text.render(other)


def test_measurements_come_after_the_machines_and_not_after_the_end() -> None:
    spec = _spec(repetitions=50)
    found = _forecast(spec)
    work_s, half_s = found.node.duration_s, found.times.half_measured_s
    assert found.times.half_nodes_s is not None
    assert half_s is not None
    assert work_s is not None
    assert found.times.most_measured_s is not None
    assert found.times.half_nodes_s + work_s / 4 < half_s < found.times.half_nodes_s + work_s
    ended = _forecast(spec, ends_in_s=half_s + 1)
    assert (ended.times.half_measured_s, ended.times.most_measured_s) == (half_s, None)
    assert _forecast(_spec(), ends_in_s=60.0).times.half_measured_s is None


def test_the_likely_cost_is_that_of_running_machines_and_the_most_that_of_all() -> None:
    short = _forecast(_spec(), _CHEAP, _DEAR, ends_in_s=3600.0)
    work_s, billed_s = short.node.duration_s, short.times.billed_s
    assert work_s is not None
    assert billed_s is not None
    # All 80 that are wanted do their work; the others end with the last of these.
    assert 80 * work_s < billed_s < 100 * work_s
    assert short.likely_usd == pytest.approx((billed_s / 36000, 3 * billed_s / 36000))
    longest_s = find_longest_s(expand(_spec()))
    assert short.longest_s == longest_s > 60
    assert short.most_usd == pytest.approx(100 * 0.3 * (3600 + longest_s) / 3600)
    assert _forecast(_spec(), _CHEAP).most_usd is None
    assert _forecast(_spec(), ends_in_s=3600.0).most_usd is None


def test_an_early_end_bounds_what_is_billed() -> None:
    # After 10 minutes half of 100 are there, one every 12 s: 5 minutes each in the mean.
    long = _spec(repetitions=200)
    assert _forecast(long, ends_in_s=600.0).times.billed_s == pytest.approx(50 * 300, rel=0.05)


def test_without_a_bandwidth_no_time_and_no_likely_cost_is_known() -> None:
    found = _forecast(_spec(), _CHEAP, upload=None, ends_in_s=3600.0)
    assert (found.node.duration_s, found.times.half_measured_s, found.times.billed_s) == (
        None,
        None,
        None,
    )
    assert found.likely_usd is None
    assert found.most_usd is not None
    assert "give --upload and --download" in forecast_text.render(found)


def test_the_probe_is_part_of_a_nodes_time() -> None:
    rules = NodeRules(min_upload_mbps=1.0, min_download_mbps=1.0)
    plain, probed = _forecast(_spec()), _forecast(_spec(node=rules))
    assert (probed.node.duration_s or 0) - (plain.node.duration_s or 0) == pytest.approx(10.0)


@pytest.mark.parametrize("offers", [(), (_CHEAP, replace(_DEAR, name="A very long name " * 6))])
def test_the_text_fits_a_terminal_and_programs_get_the_same(offers: tuple[Offer, ...]) -> None:
    found = _forecast(_spec(), *offers, ends_in_s=4 * 3600.0)
    text = forecast_text.render(found, ["what people should know " * 10])
    assert all(len(line) <= 80 for line in text.splitlines()), text
    for words in ("SaladCloud's own test of 100 replicas", "100 machines are asked for"):
        assert words in " ".join(text.split())
    data = json.loads(json.dumps(forecast_text.as_data(found)))
    assert data["most_usd"] == found.most_usd
    assert data["node"]["share"]["operations"] == 4


def test_nodes_that_measure_for_some_time_are_paid_for_that() -> None:
    whole_s = _forecast(_spec(cells=None)).node.duration_s or 0
    half = Fleet(nodes=80, for_s=whole_s / 2)
    found = _forecast(_spec(fleet=half))
    assert (_share(found).cells, found.node.duration_s) == (4, whole_s / 2)
    long = _forecast(_spec(fleet=replace(half, for_s=whole_s * 2)))
    assert _share(long).cells == 8
    assert long.node.duration_s == pytest.approx(whole_s)
    # How much fits isn't known without a bandwidth; for how long it is paid is.
    unknown = _forecast(_spec(fleet=half), _CHEAP, upload=None)
    assert (unknown.node.share, unknown.node.duration_s) == (None, whole_s / 2)
    assert unknown.likely_usd is not None
    text = forecast_text.render(unknown)
    assert "as many of 8 a node as fit into its time" in text
    assert "operations" not in text


def test_nodes_that_begin_together_wait_for_it_and_late_ones_do_not_join() -> None:
    spec = _spec(repetitions=50, fleet=Fleet(nodes=80, cells=2, together=True))
    found = _forecast(spec, starts_in_s=1200.0)
    work_s, billed_s = found.node.duration_s or 0, found.times.billed_s or 0
    # 80 of 100 are there by then, and all of them are half done at the same time.
    assert found.times.half_measured_s == pytest.approx(1200.0 + work_s / 2)
    # They have waited for the start: those of the first 10 minutes for 15 in the mean.
    waited_s = 50 * 900 + 30 * 300
    assert billed_s == pytest.approx(80 * work_s + waited_s, rel=0.02)
    early = _forecast(spec, starts_in_s=300.0)
    assert early.times.half_measured_s is None


def test_a_large_fleet_is_foreseen_in_no_time() -> None:
    """One of 100,000 nodes with many cells takes no more shares than a small one."""
    found = _forecast(_spec(), _CHEAP, nodes=100_000, ends_in_s=3600.0)
    assert found.nodes_per_cell == 25_000
    assert found.times.billed_s is not None
