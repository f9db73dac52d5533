"""What README and RESULTS publish is what was measured, on a machine with time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import quiet, written
from bench.settings import by_distance, by_queue, table
from bench.settings.cases import MIB
from bench.tools import by_link
from bench.tools import table as tools_table
from bench.tools.cases import Case
from tests.command import REPOSITORY

_LEAST_BLOCKS = 6
_LEAST_BLOCKS_OF_TOOLS = 3


def _raw(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (written.RAW / name).read_text().splitlines()]


ENTRIES = _raw("settings.jsonl")
OF_TOOLS = _raw("tools.jsonl")


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


# --- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", OF_TOOLS, ids=lambda entry: entry["case"]["link"])
def test_every_transfer_of_a_tool_had_a_machine_to_itself(entry: dict[str, Any]) -> None:
    case = Case(**entry["case"])
    assert len(entry["blocks"]) == case.blocks >= _LEAST_BLOCKS_OF_TOOLS
    for block in entry["blocks"]:
        assert block["kernel_drops"] == 0
        for one in block["transfers"]:
            assert not one["void"]
            if one["status"] == "skipped":
                continue
            assert (one["status"], one["why"]) == ("ok", "")
            moved_bits = case.size_bytes * case.files * 8
            assert one["mbps"] == pytest.approx(moved_bits / 1e6 / one["duration_s"], rel=1e-4)


def _measured() -> list[tuple[Case, list[dict[str, Any]]]]:
    return [(Case(**entry["case"]), entry["blocks"]) for entry in OF_TOOLS]


def test_the_tables_of_tools_are_made_of_these_transfers() -> None:
    tools, results = OF_TOOLS[0]["tools"], written.RESULTS.read_text()
    texts = (by_link.text(_measured(), tools), tools_table.text(_measured(), tools, {}))
    lines = [line for text in texts for line in text.splitlines() if line.startswith("| ")]
    assert lines
    assert [line for line in lines if line not in results] == []


def test_the_readme_shows_what_each_tool_carries() -> None:
    drawn, *_ = by_link.text(_measured(), OF_TOOLS[0]["tools"]).split("\n\n")
    assert drawn in (REPOSITORY / "README.md").read_text()
