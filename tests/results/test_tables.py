"""Stored results as tables: every value as it was stored."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import pytest

from hps.errors import HpsError
from hps.results import columns
from hps.results.files import default_inputs
from tests.command import hps
from tests.results.fleet import SimNode, failed_run, write_fleet
from tests.results.tabled import ask, lines, one, write

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_each_result_is_a_row_with_the_stored_values(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1, repetitions=2, warmup=1)
    stored = {record["operation_id"]: record for record in lines(path)[1:]}
    rows = ask(
        "SELECT operation_id, experiment, run_id, step, repetition, warmup, status, duration_s,"
        " throughput_mbps, size_bytes, chunk_size_bytes, effective_concurrency,"
        " observed_connections, started_at, cell->>'chunk_size' FROM results",
        tmp_path,
    )
    assert len(rows) == len(stored) == 4 * 2 * 3
    for row in rows:
        record = stored[row[0]]
        names = ("experiment", "run_id", "step", "repetition", "warmup", "status", "duration_s")
        expected = [record[name] for name in (*names, "throughput_mbps", "size_bytes")]
        expected += [record["requested"]["chunk_size_bytes"], record["effective"]["concurrency"]]
        expected += [record["observed"]["connections"]]
        expected += [datetime.fromisoformat(record["started_at"]).replace(tzinfo=None)]
        assert [*row[1:]] == [*expected, record["cell"]["chunk_size"]]


def test_each_run_is_a_row_with_what_is_known_of_the_node(tmp_path: Path) -> None:
    node = SimNode(machine_id="m1", rtt_s=0.0625, upload_mbps=10.5, country="fi", gpu="A, B")
    source = f"git+https://host/r.git@{_COMMIT}#a.yaml"
    (path,) = write_fleet(tmp_path, nodes=1, draw=lambda chance, number: node, spec_source=source)
    began = datetime.fromisoformat(lines(path)[0]["started_at"]).astimezone(UTC)
    (row,) = ask(
        "SELECT machine_id, rtt_s, probe_upload_mbps, country, gpu, gpu_memory_bytes, accepted,"
        " operations, spec_source, spec_commit, started_at, checks->0->>'name', file,"
        " targets->'r2'->>'provider', json_array_length(cells) FROM runs",
        tmp_path,
    )
    assert row == (
        *("m1", 0.0625, 10.5, "fi", "A, B", 24 * 1024**3, True, 24, source, _COMMIT),
        *(began.replace(tzinfo=None), "min_upload", str(path), "cloudflare", 4),
    )


def test_a_plain_path_has_no_commit(tmp_path: Path) -> None:
    write_fleet(tmp_path, nodes=1, spec_source=f"folder/a@{_COMMIT}")
    assert one("SELECT spec_commit FROM runs", tmp_path) is None


def test_rejected_nodes_and_runs_that_never_began_count_as_runs(tmp_path: Path) -> None:
    (path,) = write_fleet(
        tmp_path, nodes=1, draw=lambda chance, number: SimNode(machine_id="no", accepted=False)
    )
    write(tmp_path / "failed" / "m" / "x.jsonl", failed_run(lines(path)[0], "", "no such file"))
    rows = ask(
        "SELECT status, reason, accepted, action, spec_source FROM runs ORDER BY run_id", tmp_path
    )
    assert (None, None, False, "reallocate", "experiments/fleet.yaml") in rows
    assert ("failed", "no such file", None, None, "r2:a.yaml") in rows
    assert one("SELECT count(*) FROM results", tmp_path) == 0


def _always(node: SimNode, chance: Random, number: int) -> SimNode:
    return node


def test_a_node_is_as_its_latest_run_says(tmp_path: Path) -> None:
    earlier = SimNode(machine_id="m", country="de", rtt_s=0.05)
    later = SimNode(machine_id="m", country=None, accepted=False, rtt_s=0.06)
    for day, node in ((5, earlier), (6, later)):
        write_fleet(
            tmp_path,
            nodes=1,
            draw=partial(_always, node),
            started_at=datetime(2026, 1, day, tzinfo=UTC),
            experiment=f"day-{day}",
        )
    (row,) = ask("SELECT runs, country, accepted, rtt_s, experiments FROM nodes", tmp_path)
    assert row == (2, "de", False, 0.06, ["day-5", "day-6"])


def test_the_results_of_a_real_run(tmp_path: Path) -> None:
    ran = hps(
        *("run", "experiments/quickstart.yaml", "--output", tmp_path, "--format", "json"),
        *("--set", "data.size=6MiB", "--set", "repetitions=1"),
    )
    assert ran.code == 0, ran.err
    rows = ask(
        "SELECT operation_id, throughput_mbps, tool_version, observed_bytes FROM results", tmp_path
    )
    names = ("operation_id", "throughput_mbps", "tool_version")
    assert sorted(rows) == sorted(
        (*(record[name] for name in names), record["observed"]["bytes"]) for record in ran.results()
    )
    assert one("SELECT hps_version FROM runs", tmp_path) is not None
    assert one("SELECT memory_bytes FROM nodes", tmp_path) > 0


def test_without_any_file_the_tables_are_empty(tmp_path: Path) -> None:
    for table in ("runs", "results", "nodes"):
        assert one(f"SELECT count(*) FROM {table}", tmp_path) == 0


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HpsError, match="there is no file or folder"):
        ask("SELECT 1", tmp_path / "nothing")
    (tmp_path / "a.txt").touch()
    with pytest.raises(HpsError, match="neither"):
        ask("SELECT 1", tmp_path / "a.txt")


def test_the_default_inputs_are_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HpsError, match="hps-results nor hps-cache"):
        default_inputs({})
    (tmp_path / "hps-cache").mkdir()
    assert default_inputs({}) == (Path("hps-cache"),)
    (tmp_path / "mine").mkdir()
    (tmp_path / "hps-results").mkdir()
    assert default_inputs({"HPS_CACHE": "mine"}) == (Path("hps-results"), Path("mine"))


def test_every_column_is_explained() -> None:
    for table, made in columns.TABLES.items():
        assert set(made) <= set(columns.COLUMNS[table])
    text = columns.described()
    unexplained = [line for line in text.splitlines() if line.startswith(" ") and len(line) < 43]
    assert unexplained == []
