"""`bench.scale`: plans of the length that is asked for, journals too, and their growth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.scale import fleet
from bench.scale.costs import Cost, growth, watched
from bench.scale.fleet_node import Node
from bench.scale.plans import spec_text
from tests.command import REPOSITORY, hps


@pytest.mark.parametrize("operations", [100, 1000])
def test_a_plan_has_the_length_asked_for(operations: int, tmp_path: Path) -> None:
    spec = tmp_path / "scale.yaml"
    spec.write_text(spec_text(operations))
    ran = hps("plan", spec, "--format", "json")
    assert ran.code == 0, ran.err
    assert len(json.loads(ran.out)["operations"]) == operations


def test_a_journal_is_appended_read_and_summarized(tmp_path: Path) -> None:
    sample, path = tmp_path / "sample.jsonl", tmp_path / "journal.jsonl"
    result = {
        "kind": "result", "run_id": "20261122T101530123Z-5f3a9c04b7d1", "machine_id": "m",
        "experiment": "e", "spec_sha256": "", "started_at": "", "operation_id": "a",
        "cell": {"concurrency": 1}, "repetition": 0, "warmup": False, "step": "upload",
        "step_index": 0, "tool": "rclone", "target": "local", "status": "ok", "reason": "",
        "size_bytes": 1, "files": 1, "duration_s": 1.0, "retries": 0, "throughput_mbps": 8e-6,
        "requested": {}, "effective": {}, "observed": {},
    }  # fmt: skip
    sample.write_text(json.dumps(result) + "\n")
    for part in ("append", "read", "summarize"):
        ran = subprocess.run(
            [sys.executable, "-m", "bench.scale.journals", "--part", part, "--records", "50",
             "--journal", str(path), "--sample", str(sample)],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        done = json.loads(ran.stdout)
        assert done["seconds"] > 0
        assert done["peak_bytes"] > 1024**2
    ids = {record["operation_id"] for record in map(json.loads, path.read_text().splitlines())}
    assert len(ids) == 50


def test_growth_is_relative_to_the_shortest() -> None:
    """Half a second of starting, and a millisecond each."""
    costs = [
        Cost(records=count, seconds=0.5 + count / 1000, peak_bytes=50 * 1024**2)
        for count in (100, 1000)
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in growth(costs).splitlines()]
    assert rows[2] == ["100", "0.60", "6.000", "1.00", "", "50"]
    assert rows[3] == ["1,000", "1.50", "1.500", "0.25", "1.000", "50"]


def test_the_memory_of_a_process_is_its_own() -> None:
    """Not what its parent holds, which a child's resource usage would count."""
    held = bytearray(os.urandom(1024)) * (200 * 1024)
    cost = watched(["-c", "import time; time.sleep(0.5)"], Path(os.devnull), 1)
    assert 1024**2 < cost.peak_bytes < len(held) / 2


def test_nodes_begin_die_and_go_wrong_as_often_as_they_should() -> None:
    lives = fleet.draw(1000, seed=3)
    assert lives == fleet.draw(1000, seed=3) != fleet.draw(1000, seed=4)
    for minutes, part in ((10, 500), (20, 800), (40, 900), (50, 1000)):
        assert sum(life.begins_min <= minutes for life in lives) == pytest.approx(part, abs=1)
    dying = [life.dies_after for life in lives if life.dies_after is not None]
    assert 110 < len(dying) < 190
    assert all(0 <= part < 1 for part in dying)
    assert max(abs(life.clock_off_s) for life in lives) == pytest.approx(3, abs=0.05)
    assert len({life.name for life in lives}) == 1000


def test_requests_and_coverage_are_counted() -> None:
    assert fleet.spread([1, 2, 3, 6]) == ["1", "2.5", "6", "1.9"]
    kinds = Counter(map(fleet.kind_of, ("GET", "GET", "PUT"), ("", "a/key", "a/key")))
    assert kinds == {"LIST": 1, "GET": 1, "PUT": 1}
    assert fleet.per_node(kinds, 2) == ["1.5", "0.5", "0.5", "0", "0.5"]


def test_a_fleet_is_complete_where_it_is_over_and_each_cell_was_measured() -> None:
    node = Node(name="n", begins_s=0, works_s=1, dies_after=None, clock_off_s=0)
    node.cells = node.measured = tuple(range(fleet.CELLS))
    node.ended, node.lag_s = "done", 1.25
    one = fleet.Simulated(
        server="s", nodes=(node,), requests=Counter(), poll=Counter(), is_over=True, lag_s=1.25
    )
    told = dict(zip(fleet.FACTS, one.column(), strict=True))
    assert (told["nodes that joined"], told["done"], told["complete"]) == ("1 of 1", "1", "yes")
    assert told["longest wait for a turn"] == "1.2 s"
    node.measured = node.cells[1:]
    assert "no" in one.column()
    assert fleet.minute_s(1000) > fleet.minute_s(50)
