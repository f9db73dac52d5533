"""`hps results query`: SQL over what is stored, and no way to anything else."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from hps.errors import HpsError
from hps.results import index, tables
from hps.results.query import ask
from tests.command import Ran, hps
from tests.results.fleet import CELLS, write_fleet

_PER_RUN = 2 * 3 * len(CELLS)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Three runs."""
    write_fleet(tmp_path / "stored", nodes=3)
    return tmp_path / "stored"


def _query(stored: Path, sql: str, *arguments: str) -> Ran:
    return hps("results", "query", sql, "--input", stored, *arguments)


def test_an_answer_as_text_csv_and_json(stored: Path) -> None:
    sql = (
        "SELECT step, count(*) AS n, min(cell) AS cell, min(started_at) AS began, true AS yes,"
        " [1, 2] AS list, NULL AS nothing FROM results GROUP BY step ORDER BY step"
    )
    records = json.loads(_query(stored, sql, "--format", "json").out)
    assert [record["step"] for record in records] == ["download", "upload"]
    assert records[0]["n"] == 3 * _PER_RUN / 2
    assert records[0]["cell"] == {"chunk_size": "10MiB", "concurrency": 1}
    assert records[0]["began"].startswith("2026-01-05T")
    assert records[0]["began"].endswith("Z")
    assert (records[0]["yes"], records[0]["list"], records[0]["nothing"]) == (True, [1, 2], None)
    rows = list(csv.DictReader(io.StringIO(_query(stored, sql, "--format", "csv").out)))
    assert rows[0] == {
        **{name: str(records[0][name]) for name in ("step", "n", "began")},
        "cell": '{"chunk_size":"10MiB","concurrency":1}',
        "yes": "true",
        "list": "[1, 2]",
        "nothing": "",
    }
    text = _query(stored, sql).out.splitlines()
    assert text[0].split() == list(records[0])
    assert text[2].split()[:2] == ["download", str(records[0]["n"])]


def test_numbers_that_json_lacks_and_no_rows(stored: Path) -> None:
    sql = "SELECT 'nan'::DOUBLE AS a, 1.5::DECIMAL(4, 2) AS b, DATE '2026-01-05' AS c"
    (record,) = json.loads(_query(stored, sql, "--format", "json").out)
    assert record == {"a": None, "b": 1.5, "c": "2026-01-05"}
    nothing = "SELECT run_id FROM runs WHERE false"
    assert json.loads(_query(stored, nothing, "--format", "json").out) == []
    assert _query(stored, nothing, "--format", "csv").out == "run_id\n"
    assert _query(stored, nothing).out.split()[0] == "run_id"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("selec 1", "syntax error"),
        ("select speed from results", "speed"),
        ("select 'a'::INT", "Could not convert"),
        ("select throughput_mbps::VARCHAR::DATE from results", "date"),
        ("select 1; select 2", "not one SELECT"),
        ("", "not one SELECT"),
        ("copy runs to 'out.csv'", "not one SELECT"),
        ("explain analyze copy runs to 'out.csv'", "not one SELECT"),
        ("create table t as select 1", "not one SELECT"),
        ("set memory_limit = '9GB'", "not one SELECT"),
        ("attach 'x.db'", "not one SELECT"),
        ("install httpfs", "not one SELECT"),
        ("select * from read_text('/etc/passwd')", "disabled by configuration"),
        ("from '/etc/passwd'", "/etc/passwd"),
        ("select * from read_csv('/dev/stdin')", "disabled by configuration"),
        ("select * from glob('/*')", "disabled by configuration"),
        ("select * from 'https://127.0.0.1:9/x.parquet'", "disabled"),
    ],
)
def test_mistakes_and_ways_out_are_refused(stored: Path, sql: str, said: str) -> None:
    before = sorted(stored.rglob("*"))
    with tables.opened([stored]) as opened, pytest.raises(HpsError) as refused:
        list(ask(opened, sql).rows())
    assert said in refused.value.message
    assert refused.value.exit_code == 2
    assert sorted(stored.rglob("*")) == before


def test_a_mistake_ends_in_a_clear_text(stored: Path) -> None:
    ran = _query(stored, "selec 1")
    assert ran.code == 2
    assert ran.out == ""
    assert 'syntax error at or near "selec"' in ran.err
    assert "hps results views" in ran.err
    assert "Traceback" not in ran.err


def test_what_the_views_read_cannot_be_written(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "WORTH_KEEPING_BYTES", 1)
    with tables.opened([stored]) as opened:
        assert list(ask(opened, "select count(*) from results").rows()) == [(3 * _PER_RUN,)]
        (path,) = stored.rglob("results.parquet")
        before = path.read_bytes()
        for options in ("", "(USE_TMP_FILE false)"):
            with pytest.raises(HpsError):
                ask(opened, f"COPY (SELECT 1) TO '{path}' {options}")
        assert path.read_bytes() == before


def test_the_variables_of_the_program_are_no_tables(stored: Path) -> None:
    secret = np.array(["hunter2"])
    with tables.opened([stored]) as opened, pytest.raises(Exception, match="secret does not exist"):
        opened.connection.execute("SELECT * FROM secret").fetchall()
    assert secret.size == 1


def test_the_whole_answer_is_told_with_what_was_passed_over(stored: Path) -> None:
    (stored / "bad\x1b[31m.jsonl").write_bytes(b"hello\n")
    ran = _query(stored, "select count(*) as n from results", "--format", "csv")
    assert ran.code == 0
    assert ran.out == f"n\n{3 * _PER_RUN}\n"
    assert "passed over: " in ran.err
    assert "line 1 is not JSON" in ran.err
    assert "\x1b" not in ran.err


def test_views_have_every_column() -> None:
    ran = hps("results", "views")
    assert ran.code == 0
    assert "runs: a row for each run" in ran.out
    for name in ("observed_peak_in_flight", "spec_commit", "last_seen", "probe_upload_mbps"):
        assert f"\n  {name} " in ran.out
