"""What the version before stored, a finished run and an interrupted one: listed, compared, resumed.

`tests/data/version-before` was written by that version; only the experiment's path was shortened.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.command import REPOSITORY, hps
from tests.results.conftest import Bucket
from tests.results.tabled import lines

_STORED = REPOSITORY / "tests/data/version-before"
_FINISHED = "20261129T181615875Z-58a2ff154be4"
_INTERRUPTED = "20261129T181637979Z-d037752c821c"
_DONE = {_FINISHED: 16, _INTERRUPTED: 5}
_OPERATIONS = 16
_IDS = sorted(_DONE)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy that a run may write to."""
    return Path(shutil.copytree(_STORED / "results", tmp_path / "results"))


def _results(run_id: str, folder: Path = _STORED / "results") -> list[dict[str, Any]]:
    (path,) = folder.rglob(f"{run_id}.jsonl")
    return [line for line in lines(path) if line["kind"] == "result"]


def test_its_runs_are_listed_and_shown(results: Path) -> None:
    ran = hps("results", "list", "--input", results, "--format", "json")
    assert ran.code == 0, ran.err
    rows = {row["run_id"]: row for row in json.loads(ran.out)}
    assert {name: (rows[name]["ok"], rows[name]["operations"]) for name in rows} == {
        name: (done, _OPERATIONS) for name, done in _DONE.items()
    }
    shown = hps("results", "show", _FINISHED, "--input", results, "--format", "json")
    assert shown.code == 0, shown.err
    assert len(json.loads(shown.out)["results"]) == _OPERATIONS


def test_its_bucket_is_pulled(bucket: Bucket) -> None:
    bucket.put(_STORED / "results")
    ran = bucket.hps("pull", "--from", "s3", "--cache", "cache")
    assert ran.code == 0, ran.err
    pulled = {path.stem: path.read_bytes() for path in (bucket.work / "cache").rglob("*.jsonl")}
    stored = {path.stem: path.read_bytes() for path in _STORED.rglob("*.jsonl")}
    assert pulled == stored


def test_its_numbers_are_compared(results: Path) -> None:
    ran = hps("compare", results, "--format", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    measured = [
        line
        for run_id in _IDS
        for line in _results(run_id)
        if line["step"] in {"upload", "download"}
    ]
    assert found["provenance"]["results"] == len(measured)
    seen = {
        (panel["step"], cell["key"]["concurrency"]): cell["median_mbps"]
        for panel in found["comparisons"]
        for cell in panel["cells"]
    }
    assert seen == pytest.approx(
        {
            (step, concurrency): _median(measured, step, concurrency)
            for step in ("upload", "download")
            for concurrency in (1, 2)
        }
    )


def _median(measured: list[dict[str, Any]], step: str, concurrency: int) -> float:
    return median(
        float(line["throughput_mbps"])
        for line in measured
        if (line["step"], line["cell"]["concurrency"]) == (step, concurrency)
    )


def test_what_it_left_is_done_and_nothing_else(results: Path) -> None:
    (journal,) = results.rglob(f"{_INTERRUPTED}.jsonl")
    before = journal.read_bytes()

    ran = hps(
        *("run", _STORED / "experiment.yaml", "--output", results, "--format", "json"),
        env={"SALAD_MACHINE_ID": "machine-1"},
    )

    assert ran.code == 0, ran.err
    assert sorted(path.stem for path in results.rglob("*.jsonl")) == _IDS
    assert journal.read_bytes().startswith(before)
    (resumed,) = [line for line in lines(journal) if line["kind"] == "resume"]
    assert resumed["operations_left"] == _OPERATIONS - _DONE[_INTERRUPTED]
    done = Counter(line["operation_id"] for line in _results(_INTERRUPTED, results))
    assert done == dict.fromkeys((line["operation_id"] for line in _results(_FINISHED)), 1)


def test_what_it_finished_is_not_begun_again(results: Path) -> None:
    for path in results.rglob(f"{_INTERRUPTED}.jsonl"):
        path.unlink()
    (journal,) = results.rglob("*.jsonl")
    before = journal.read_bytes()

    ran = hps(
        *("run", _STORED / "experiment.yaml", "--output", results),
        env={"SALAD_MACHINE_ID": "machine-1"},
    )

    assert ran.code == 0, ran.err
    assert f"has done it all in run {_FINISHED}" in ran.err
    assert journal.read_bytes() == before
