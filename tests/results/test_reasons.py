"""Why, by code and by owner: in the tables, and in files that were stored before there were any."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from hps.catalog.failures import KINDS
from tests.command import REPOSITORY, hps
from tests.results.conftest import Bucket
from tests.results.fleet import Cell, Record, SimNode, failed_run, write_fleet
from tests.results.tabled import ask, lines, one, skipped, write

# Tables that a version without codes has exported: two runs of 8 results, in one of which the
# uploads failed, and a node that was rejected.
OLDER = REPOSITORY / "tests/data/before-reason-codes"
_OF_RUNS = "SELECT reason_code, reason_owner, accepted, reasons FROM runs WHERE status = 'failed'"


def _uploads_fail(chance: Random, node: SimNode, cell: Cell, step: str) -> str:
    return "failed" if step == "upload" else "ok"


def _stored(folder: Path) -> Record:
    """One run whose uploads failed; its first line."""
    (path,) = write_fleet(folder, nodes=1, repetitions=1, fate=_uploads_fail, seed=7)
    return lines(path)[0]


def _without_codes(record: Record) -> Record:
    return {name: record[name] for name in record if name not in {"reason_code", "reason_owner"}}


def test_results_have_the_code_and_the_owner(tmp_path: Path) -> None:
    _stored(tmp_path)
    query = "SELECT DISTINCT status, reason_code, reason_owner FROM results ORDER BY status"
    assert ask(query, tmp_path) == [
        ("failed", "server_error", "target"),
        ("ok", None, None),
    ]
    ran = hps("results", "query", query, "--input", tmp_path, "--format", "json")
    assert [row["reason_code"] for row in json.loads(ran.out)] == ["server_error", None]


def test_older_lines_are_read_and_have_neither(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1, repetitions=1, fate=_uploads_fail)
    write(path, *(_without_codes(record) for record in lines(path)))
    assert skipped(tmp_path) == {}
    query = "SELECT count(*), count(reason), count(reason_code), count(reason_owner) FROM results"
    assert ask(query, tmp_path) == [(8, 8, 0, 0)]


def test_older_tables_are_read_beside_lines(tmp_path: Path) -> None:
    _stored(tmp_path)
    assert skipped(OLDER, tmp_path) == {}
    query = (
        "SELECT reason_code, count(*) FROM results WHERE status = 'failed' GROUP BY 1 ORDER BY 1"
    )
    assert ask(query, OLDER, tmp_path) == [("server_error", 4), (None, 4)]
    assert one("SELECT count(*) FROM runs WHERE NOT accepted", OLDER, tmp_path) == 1


def test_an_export_keeps_them(tmp_path: Path) -> None:
    _stored(tmp_path / "stored")
    out = tmp_path / "results.parquet"
    ran = hps(
        *("results", "export", "--input", tmp_path / "stored", "--input", OLDER),
        *("--format", "parquet", "-o", out),
    )
    assert ran.code == 0, ran.err
    query = "SELECT reason_owner, count(*) FROM results GROUP BY 1 ORDER BY 1"
    assert ask(query, out) == ask(query, tmp_path / "stored", OLDER)


def test_what_was_compacted_before_is_kept(bucket: Bucket) -> None:
    stored = bucket.work / "stored"
    day = "experiment=fleet/day=2026-01-05"
    for table in ("runs", "results"):
        content = (OLDER / f"{table}.parquet").read_bytes()
        write(stored / "compact" / table / day / f"{table}.parquet", content)
    bucket.put(stored)
    _stored(bucket.work / "newer")
    ran = bucket.hps("compact", "--to", "s3", "--format", "json", "--input", bucket.work / "newer")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["runs"], told["results"]) == (4, 16 + 8)
    assert bucket.hps("pull", "--from", "s3").code == 0
    query = "SELECT reason_code, count(*) FROM results GROUP BY 1 ORDER BY 1"
    assert ask(query, bucket.work / "hps-cache") == [("server_error", 4), (None, 20)]


@pytest.mark.parametrize("code", ["bad_credentials", "tool_missing", "stopped"])
def test_what_is_neither_the_nodes_nor_its_ways_fault_is_no_verdict(
    tmp_path: Path, code: str
) -> None:
    run = _stored(tmp_path)
    verdict = {"accepted": False, "action": "exit", "reasons": ["upload unknown"], "checks": []}
    mistaken = failed_run(run, code, "the reason", verdict=verdict)
    write(tmp_path / "x.jsonl", {**mistaken, "started_at": "2026-01-07T00:00:00.000000Z"})
    assert ask(_OF_RUNS, tmp_path) == [(code, KINDS[code].owner, None, None)]
    assert ask("SELECT runs, accepted, reasons FROM nodes", tmp_path) == [(2, True, [])]


@pytest.mark.parametrize(("code", "owner"), [("refused", "target"), ("clock_skew", "node")])
def test_a_node_that_was_turned_down_is_rejected(tmp_path: Path, code: str, owner: str) -> None:
    run = _stored(tmp_path)
    verdict = {"accepted": False, "action": "reallocate", "reasons": ["it refuses"], "checks": []}
    write(tmp_path / "x.jsonl", failed_run(run, code, "it refuses", verdict=verdict))
    assert ask(_OF_RUNS, tmp_path) == [(code, owner, False, ["it refuses"])]
    ran = hps("results", "list", "--input", tmp_path)
    assert f"rejected: {code}" in ran.out


def test_a_run_is_shown_with_its_codes(tmp_path: Path) -> None:
    run = _stored(tmp_path)
    ran = hps("results", "show", run["run_id"], "--input", tmp_path, "--format", "json")
    shown = json.loads(ran.out)["results"]
    assert {row["reason_code"] for row in shown} == {"server_error", None}
    write(tmp_path / "x.jsonl", failed_run(run, "no_such_bucket", "no bucket 'x'"))
    ran = hps("results", "list", "--input", tmp_path, "--format", "json")
    told = {row["run_id"]: (row["reason_code"], row["reason_owner"]) for row in json.loads(ran.out)}
    assert sorted(map(str, told.values())) == ["('no_such_bucket', 'experiment')", "(None, None)"]
