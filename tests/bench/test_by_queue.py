"""The README's table of settings, and the rate above which nothing is published."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from bench import grid
from bench.settings import by_queue, cases, honest
from bench.settings.cases import MIB, Setting

_SETTINGS = tuple(Setting(chunk_bytes=10 * MIB, streams=streams) for streams in (10, 1, 4))


def _measured(rtt_ms: float, queue_rtts: float, rates: dict[int, list[float]]) -> dict[str, Any]:
    link = grid.make(rtt_ms, cases.FLEET_MBPS, 0.0, queue_rtts=queue_rtts)
    case = cases.Case(link=link, size_bytes=100 * MIB, settings=_SETTINGS)
    transfers = [
        {"block": block, "way": way, "setting": asdict(one), "mbps": mbps}
        for way in ("up", "down")
        for one in _SETTINGS
        for block, mbps in enumerate(rates[one.streams])
    ]
    return {"case": dict(case.key(2, 0)), "transfers": transfers}


def test_each_distance_has_its_rows_and_each_queue_its_column() -> None:
    near = _measured(10, 1.0, {1: [100.0, 100.0], 4: [100.0, 100.0], 10: [101.0, 99.0]})
    far = _measured(80, 0.5, {1: [200.0, 210.0], 4: [150.0, 150.0], 10: [110.0, 202.0]})
    lossy = {**far, "case": {**far["case"], "link": {**far["case"]["link"], "loss": 0.001}}}

    lines = by_queue.text([near, far, lossy]).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:6]]

    assert rows[0] == ["round trip", "", "queue 0.5 RTT", "queue 1 RTT"]
    assert rows[2] == ["10 ms", "up", "", "100 / 100 / 100"]
    assert rows[4] == ["80 ms", "up", "205 / 150 / 149", ""]


def test_what_is_best_in_every_block_stands_out() -> None:
    [*_, up, _, _, _] = by_queue.text(
        [_measured(80, 1.0, {1: [200.0, 210.0], 4: [150.0, 150.0], 10: [110.0, 160.0]})]
    ).splitlines()
    assert "**205** / 150 / 133" in up


def _one(why: str = "") -> dict[str, Any]:
    return {"why": why, "void": why.startswith("void")}


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ({100.0: [_one()], 200.0: [_one(), _one()]}, 200.0),
        ({300.0: [_one()], 100.0: [_one()], 200.0: [_one(), _one("void: 0.1")]}, 100.0),
        ({100.0: [_one("failed: refused")]}, None),
    ],
)
def test_a_rate_is_honest_where_it_and_all_below_left_time_to_spare(
    found: dict[float, Any], best: float | None
) -> None:
    assert honest.highest(found) == best
