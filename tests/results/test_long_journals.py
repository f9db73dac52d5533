"""A journal of a hundred thousand results is read without having all of it in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.cli import run
from hps.results import journal
from hps.run import resume

_RUN_ID = "20260101T000000000Z-abcdef012345"
_RESULTS = 5000


def _line(kind: str) -> dict[str, object]:
    return {
        "kind": kind,
        "run_id": _RUN_ID,
        "machine_id": "m",
        "experiment": "long",
        "spec_sha256": "0" * 64,
        "started_at": "2026-01-01T00:00:00.000000Z",
    }


def _result(number: int, status: str = "ok") -> dict[str, object]:
    return {
        **_line("result"),
        "repetition": 0,
        "operation_id": f"{number:016x}",
        "status": status,
        "step": "upload",
        "step_index": 0,
        "cell": {"concurrency": number % 4},
        "warmup": False,
        "duration_s": 1.0,
        "throughput_mbps": 100.0,
        "retries": 0,
        "reason": "",
        "effective": {"chunk_size_bytes": number},
        "observed": {f"field-{field}": number for field in range(40)},
    }


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "m" / f"{_RUN_ID}.jsonl"
    path.parent.mkdir()
    records = [_line("run"), *(_result(number) for number in range(_RESULTS))]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def _peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_run_is_taken_up_with_little_of_its_journal_in_memory(long: Path) -> None:
    assert resume.read(long) is not None
    assert _peak_bytes(lambda: resume.read(long)) < long.stat().st_size / 2


@pytest.mark.prove
def test_tables_take_little_more_than_their_own_text(long: Path) -> None:
    text_bytes = len(run._render(long)[".csv"])

    assert _peak_bytes(lambda: run._render(long)) < 4 * text_bytes + long.stat().st_size


def test_of_several_results_the_same_ones_count(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    statuses = ((1, "interrupted"), (2, "ok"), (1, "failed"), (2, "interrupted"), (1, "ok"))
    records = [_line("run"), *(_result(*one) for one in statuses), _line("resume")]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))

    assert list(journal.read_latest(path)) == journal.latest(journal.read(path).records)
