"""The simulated fleet is one that could have been: its lines are valid, its numbers as asked."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from jsonschema import Draft202012Validator

from tests.command import REPOSITORY
from tests.results.fleet import SimNode, grid, write_fleet
from tests.results.tabled import lines


def test_every_line_is_valid(tmp_path: Path) -> None:
    schema = json.loads((REPOSITORY / "schemas" / "result.schema.json").read_text())
    validator = Draft202012Validator(schema)
    statuses = ("ok", "failed", "invalid", "timeout", "skipped", "interrupted")
    paths = write_fleet(
        tmp_path,
        nodes=3,
        warmup=1,
        fate=lambda chance, node, cell, step: chance.choice(statuses),
        draw=lambda chance, number: SimNode(machine_id=f"m{number}", accepted=number != 1),
    )
    records = [record for path in paths for record in lines(path)]
    assert {record.get("status") for record in records} == {None, *statuses}
    for record in records:
        validator.validate(record)
    assert len(lines(paths[1])) == 1, "a node that is rejected measures nothing"


def test_a_larger_fleet_begins_with_the_smaller_one(tmp_path: Path) -> None:
    few = write_fleet(tmp_path / "few", nodes=2, seed=7)
    many = write_fleet(tmp_path / "many", nodes=4, seed=7)
    assert [path.read_text() for path in few] == [path.read_text() for path in many[:2]]
    others = write_fleet(tmp_path / "others", nodes=2, seed=8)
    assert {path.name for path in few}.isdisjoint(path.name for path in others)


def test_an_effect_is_in_the_numbers(tmp_path: Path) -> None:
    (path,) = write_fleet(
        tmp_path,
        nodes=1,
        cells=grid(concurrency=[1, 8]),
        repetitions=200,
        steps=("download",),
        draw=lambda chance, number: SimNode(machine_id="m", download_mbps=100.0),
        effect=lambda node, cell, step: 2.0 if cell["concurrency"] == 8 else 1.0,
        spread=0.05,
    )
    rates: dict[int, list[float]] = {1: [], 8: []}
    for record in lines(path)[1:]:
        rates[record["cell"]["concurrency"]].append(record["throughput_mbps"])
    assert 98 < median(rates[1]) < 102
    assert 196 < median(rates[8]) < 204
