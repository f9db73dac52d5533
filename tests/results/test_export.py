"""`hps results export`: a table as a file, as a whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
from pathlib import Path

import pytest

from hps.errors import MachineError
from hps.results import tables
from hps.results.query import export
from tests.command import Ran, hps
from tests.disks import Mount
from tests.results.fleet import CELLS, write_fleet
from tests.results.tabled import ask, lines

_PER_RUN = 2 * 3 * len(CELLS)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two runs of one experiment, and one of another."""
    write_fleet(tmp_path / "stored", nodes=2, experiment="one")
    write_fleet(tmp_path / "stored", nodes=1, experiment="two")
    return tmp_path / "stored"


def _export(stored: Path, *arguments: str | Path) -> Ran:
    return hps("results", "export", "--input", stored, *arguments)


def test_csv_and_json_lines_have_the_stored_values(stored: Path) -> None:
    records = [r for p in stored.rglob("*.jsonl") for r in lines(p) if r["kind"] == "result"]
    expected = {(r["run_id"], r["operation_id"]): r for r in records}
    rows = [json.loads(line) for line in _export(stored, "--format", "jsonl").out.splitlines()]
    assert {(row["run_id"], row["operation_id"]) for row in rows} == set(expected)
    for row in rows:
        record = expected[row["run_id"], row["operation_id"]]
        for name in ("started_at", "duration_s", "throughput_mbps", "cell", "command", "warmup"):
            assert row[name] == record[name]
    order = [(row["run_id"], row["started_at"]) for row in rows]
    assert order == sorted(order)
    table = list(csv.DictReader(io.StringIO(_export(stored).out)))
    assert [(row["run_id"], row["operation_id"]) for row in table] == [
        (row["run_id"], row["operation_id"]) for row in rows
    ]
    assert table[0]["started_at"] == rows[0]["started_at"]
    assert json.loads(table[0]["cell"]) == rows[0]["cell"]


@pytest.mark.parametrize(("table", "rows"), [("results", _PER_RUN), ("runs", 1), ("nodes", 1)])
def test_of_one_experiment(stored: Path, tmp_path: Path, table: str, rows: int) -> None:
    out = tmp_path / "out.jsonl"
    ran = _export(stored, "two", "--table", table, "--format", "jsonl", "-o", out)
    assert (ran.code, ran.out) == (0, "")
    assert len(out.read_text().splitlines()) == rows


def test_parquet_can_be_read_again(stored: Path, tmp_path: Path) -> None:
    for table in ("runs", "results"):
        ran = _export(
            stored, "--table", table, "--format", "parquet", "-o", tmp_path / f"{table}.parquet"
        )
        assert ran.code == 0, ran.err
    made = (tmp_path / "runs.parquet", tmp_path / "results.parquet")
    for query in ("SELECT * EXCLUDE file FROM results ORDER BY ALL", "FROM nodes ORDER BY ALL"):
        assert ask(query, *made) == ask(query, stored)


def test_the_name_of_the_file_says_the_format(stored: Path, tmp_path: Path) -> None:
    for name, start in (("a.parquet", b"PAR1"), ("a.jsonl", b"{"), ("a.txt", b"experiment,")):
        assert _export(stored, "-o", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    ran = _export(stored, "--format", "csv", "-o", tmp_path / "b.parquet")
    assert (ran.code, (tmp_path / "b.parquet").exists()) == (2, False)
    assert "b.parquet is no name of a file with csv" in ran.err


def test_what_is_no_file_is_not_replaced_by_one(stored: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in (("results", "export"), ("report",)):
        ran = hps(*command, "--input", stored, "-o", pipe)
        assert (ran.code, pipe.is_fifo()) == (2, True)
        assert f"cannot write {pipe}: it is there, and no file" in ran.err


def test_a_disk_that_is_full_leaves_what_was_there(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tables.opened([stored]) as opened:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(MachineError, match="could not be written"):
                export(opened, "results", "csv", (), out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"stored", "out.csv"}


def test_a_folder_that_is_read_only_is_said_before_any_work(stored: Path, mount: Mount) -> None:
    locked = mount("locked", "size=1m,ro")
    ran = _export(stored, "no-such-experiment", "-o", locked / "out.csv")
    assert ran.code == 2
    assert f"cannot write to {locked}: Read-only file system" in ran.err
    assert "-o" in ran.err


def test_what_cannot_be_done_is_said(stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    for arguments, code, said in (
        (("three", "-o", out), 2, "of an experiment 'three'"),
        (("--format", "parquet"), 2, "-o"),
        (("--format", "xlsx"), 2, "xlsx"),
        (("-o", tmp_path / "no" / "where.csv"), 2, f"cannot write to {tmp_path}/no: "),
        (("-o", tmp_path), 2, "is a directory"),
    ):
        ran = _export(stored, *arguments)
        assert ran.code == code, ran.err
        assert said in ran.err
    assert out.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"stored", "out.csv"}
