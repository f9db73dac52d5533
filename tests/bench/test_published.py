"""What README and RESULTS publish of the settings is what was measured, on a machine with time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import quiet, written
from bench.settings import by_distance, by_queue, table
from bench.settings.cases import MIB
from tests.command import REPOSITORY

_LEAST_BLOCKS = 6
ENTRIES: list[dict[str, Any]] = [
    json.loads(line) for line in (written.RAW / "settings.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_every_transfer_had_a_machine_to_itself(entry: dict[str, Any]) -> None:
    for one in entry["transfers"]:
        assert one["why"] == ""
        assert one["idle_cores"] >= quiet.LEAST_IDLE_CORES
        assert one["steal_cores"] <= quiet.MOST_STEAL_CORES
        assert one["late_s"] <= quiet.MOST_LATE_S
        size_bytes = entry["case"]["size_bytes"]
        assert one["mbps"] == pytest.approx(size_bytes * 8 / 1e6 / one["duration_s"])
    assert size_bytes % MIB == 0
    assert entry["kernel_drops"] == 0
    assert entry["case"]["blocks"] >= _LEAST_BLOCKS


@pytest.mark.parametrize("made", [by_queue, by_distance, table], ids=lambda one: one.__name__)
def test_the_tables_are_made_of_these_transfers(made: Any) -> None:
    for line in made.text(ENTRIES).splitlines():
        if line.startswith("| "):
            assert line in written.RESULTS.read_text()


def test_the_readme_shows_the_first_of_them() -> None:
    drawn, *_ = by_queue.text(ENTRIES).split("\n\n")
    assert drawn in (REPOSITORY / "README.md").read_text()
