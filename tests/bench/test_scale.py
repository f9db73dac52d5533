"""`bench.scale`: plans of the length that is asked for, journals too, and their growth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.scale.costs import Cost, growth, watched
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
