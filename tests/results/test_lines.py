"""Lines that anybody may have put into a journal: named and passed over, and never a bug."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from hps.compare.summary import summarize
from hps.report import as_csv, table
from hps.results import journal, lock

_RUN_ID = "20261122T101530123Z-5f3a9c04b7d1"
_OF_ALL: dict[str, Any] = {
    "run_id": _RUN_ID,
    "machine_id": "m",
    "experiment": "e",
    "spec_sha256": "0" * 64,
    "started_at": "2026-11-22T10:15:30.000000Z",
}
_RUN = {
    "kind": "run",
    **_OF_ALL,
    "operations": 1,
    "cells": [{"size": "1MiB"}],
    "merged": [],
    "targets": {"s3": {"endpoint": None}},
}
_RESULT = {
    "kind": "result",
    **_OF_ALL,
    "operation_id": "0123456789ab",
    "cell": {"size": "1MiB"},
    "repetition": 0,
    "warmup": False,
    "step": "upload",
    "step_index": 0,
    "status": "ok",
    "reason": "",
    "duration_s": 1.0,
    "throughput_mbps": 8.0,
    "effective": {"concurrency": 1},
    "observed": None,
    "retries": 0,
}
_DEEP = json.loads("[" * 400 + "]" * 400)


def _without(name: str) -> bytes:
    return json.dumps({key: value for key, value in _RESULT.items() if key != name}).encode()


def _with(**fields: object) -> bytes:
    return json.dumps(_RESULT | fields).encode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *((_without(name), f"lacks {name}") for name in _RESULT if name != "kind"),
        *((_with(**{n: _DEEP}), "holds what no result does") for n in _RESULT if n != "kind"),
        *(
            (_with(**{name: {"a": [1]}}), f"has no {name} that can be")
            for name in _RESULT
            if name not in {"kind", "effective", "observed"}
        ),
        (_with(throughput_mbps="fast"), "has no throughput_mbps that can be"),
        (_with(throughput_mbps=float("nan")), "holds what no result does"),
        (_with(duration_s=float("inf")), "holds what no result does"),
        (_with(step_index=10**30), "holds what no result does"),
        (_with(step_index=True), "has no step_index that can be"),
        (_with(status="fine"), "has no status that can be"),
        (_with(status=["ok"]), "has no status that can be"),
        (_with(run_id="../../x"), "has no run_id that can be"),
        (_with(reason="\ud800"), "is not JSON"),
        (json.dumps(_RUN | {"merged": [{}]}).encode(), "has no merged that can be"),
        (json.dumps(_RUN | {"cells": [1]}).encode(), "has no cells that can be"),
        (json.dumps(_RUN | {"targets": {"s3": 1}}).encode(), "has no targets that can be"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"torn": ', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"{}", "is neither a run nor a result"),
        (b'{"kind": ["run"]}', "is neither a run nor a result"),
    ],
)
def test_a_line_that_is_none_of_ours_is_passed_over(line: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / f"{_RUN_ID}.jsonl"
    good = [json.dumps(record).encode() for record in (_RUN, _RESULT)]
    path.write_bytes(b"\n".join([good[0], line, good[1], b'{"cut off']))

    read = journal.read(path)

    assert list(read.records) == [_RUN, _RESULT]
    assert read.bad == {2: why}
    assert read.remark == f"line 2 {why}"
    records = journal.latest(copy.deepcopy(read.records))
    as_csv.render_records(records).encode()
    table.render(summarize(records)).encode()


def test_no_more_than_three_are_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"{}\n" * 5)
    why = "is neither a run nor a result"
    said = f"line 1 {why}; line 2 {why}; line 3 {why}; and 2 more"
    assert journal.read(path).remark == said


@pytest.mark.parametrize("text", [b"[" * lock.MOST_BYTES, b"\xff" * 10, b"[]", b"", b'{"a": '])
def test_a_lock_that_holds_anything_tells_nothing(text: bytes) -> None:
    assert lock.holder_of(text) == {}
