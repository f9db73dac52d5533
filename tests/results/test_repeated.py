"""A run that is found more than once counts once: where it has more lines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hps.results import tables
from hps.results.query import export
from tests.results.fleet import CELLS, write_fleet
from tests.results.tabled import ask, lines, one, skipped, write

_COUNT = "SELECT count(*) FROM results"
_PER_RUN = 2 * 3 * len(CELLS)


def _exported(source: Path, folder: Path) -> tuple[Path, Path]:
    """Runs and results of a folder as Parquet."""
    folder.mkdir(parents=True)
    paths = folder / "runs.parquet", folder / "results.parquet"
    for path in paths:
        with tables.opened([source]) as opened:
            export(opened, path.stem, "parquet", (), path)
    return paths


@pytest.mark.parametrize("longer", ["a", "b"])
def test_the_file_with_more_lines_counts(tmp_path: Path, longer: str) -> None:
    (path,) = write_fleet(tmp_path / longer, nodes=1)
    shorter = tmp_path / ("b" if longer == "a" else "a") / path.name
    write(shorter, *lines(path)[:-3])
    for inputs in ((tmp_path,), (tmp_path / "b", tmp_path / "a"), (path, shorter)):
        assert ask(f"{_COUNT} GROUP BY file", *inputs) == [(_PER_RUN,)]
        assert ask("SELECT file FROM runs", *inputs) == [(str(path),)]
    assert skipped(tmp_path) == {}


def test_other_runs_in_the_same_files_are_not_touched(tmp_path: Path) -> None:
    first, second = write_fleet(tmp_path / "each", nodes=2)
    both = write(tmp_path / "both.jsonl", *lines(first)[:-1], *lines(second))
    rows = ask("SELECT file, count(*) FROM results GROUP BY file ORDER BY count(*), file", tmp_path)
    assert sum(count for _, count in rows) == 2 * _PER_RUN
    assert {file for file, _ in rows} <= {str(both), str(first), str(second)}
    assert (str(first), _PER_RUN) in rows, "the run that is cut short in the other file"
    assert one("SELECT count(*) FROM runs", tmp_path) == 2


def test_the_same_file_by_two_ways_is_one_file(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path / "a", nodes=1)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert one(_COUNT, tmp_path / "a", tmp_path, path, tmp_path / "link") == _PER_RUN


def test_lines_that_are_there_twice_count_once(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    (other,) = write_fleet(tmp_path, nodes=1, seed=1)
    path.write_bytes(2 * path.read_bytes())
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    assert one("SELECT count(*) FROM runs", tmp_path) == 2
    assert skipped(tmp_path) == {}
    assert other.is_file()


def test_of_an_operation_that_was_done_again_the_last_result_counts(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    run, result, *others = lines(path)
    resume = {
        "kind": "resume",
        **{key: run[key] for key in ("run_id", "machine_id", "experiment", "started_at")},
    }
    write(path, run, result, *others, resume, _lost(result), _ended(result))

    number = len(others) + 4
    assert ask(_status_of(result), tmp_path) == [("failed", number)]
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert skipped(tmp_path) == {}


def _lost(result: dict[str, Any], at: str = "") -> dict[str, Any]:
    """The same operation, found to be wrong, by a clock that says `at`."""
    changed = {"status": "failed", "reason": "its bytes are wrong", "throughput_mbps": None}
    return result | changed | ({"started_at": at} if at else {})


def _ended(result: dict[str, Any]) -> dict[str, Any]:
    """The same operation, in which the run was ended by a clock that is far ahead."""
    changed = {"status": "interrupted", "reason": "ended", "throughput_mbps": None}
    return result | changed | {"started_at": "2099-01-02T00:00:00.000000Z"}


def _status_of(result: dict[str, Any]) -> str:
    return f"SELECT status, line FROM results WHERE operation_id = '{result['operation_id']}'"


@pytest.mark.parametrize(
    "at", ["2001-01-01T00:00:00.000000Z", "", "2099-01-01T00:00:00.000000Z"], ids=str
)
@pytest.mark.parametrize("form", ["lines", "exported", "compacted again"])
def test_the_last_line_counts_whatever_the_clock_says(tmp_path: Path, at: str, form: str) -> None:
    (path,) = write_fleet(tmp_path / "lines", nodes=1)
    run, result, *others = lines(path)
    write(path, run, result, *others, _lost(result, at))
    folder = tmp_path / "lines"
    if form == "exported":
        _exported(folder, tmp_path / "tables")
        folder = tmp_path / "tables"
    elif form == "compacted again":  # beside what was made before the last line was there
        made = _exported(folder, tmp_path / "now")
        write(path, run, result, *others)
        _exported(folder, tmp_path / "a-before")
        assert ask(_status_of(result), tmp_path / "a-before") == [("ok", 2)]
        shutil.rmtree(folder)
        assert all(made_one.is_file() for made_one in made)
        folder = tmp_path
    assert ask(_status_of(result), folder) == [("failed", len(others) + 3)]


def test_of_two_copies_of_a_run_the_one_with_the_later_line_counts(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path / "b", nodes=1)
    run, result, *others = lines(path)
    write(tmp_path / "a" / path.name, run, result, *others)
    write(path, run, result, *others, _lost(result, "2001-01-01T00:00:00.000000Z"))
    assert ask(_status_of(result), tmp_path) == [("failed", len(others) + 3)]
    assert ask("SELECT file FROM runs", tmp_path) == [(str(path),)]


def test_blank_bad_and_long_lines_are_counted(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    texts = path.read_bytes().splitlines(keepends=True)
    long = b'{"a": "' + b"x" * (17 * 1024**2) + b'"}\n'
    path.write_bytes(texts[0] + b"\n{\n" + long + b"".join(texts[1:]).rstrip(b"\n"))
    found = ask("SELECT line FROM results ORDER BY line", tmp_path)
    assert [number for (number,) in found] == list(range(5, _PER_RUN + 5))


def test_parquet_without_numbers_of_lines_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_fleet(source, nodes=2)
    _, made = _exported(source, tmp_path / "tables")
    older = tmp_path / "older.parquet"
    with tables.opened([]) as opened:
        query = f"SELECT * EXCLUDE line FROM '{made}'"
        opened.connection.execute(f"COPY ({query}) TO '{older}' (FORMAT parquet)")
    assert ask("SELECT count(*), count(line) FROM results", older) == [(2 * _PER_RUN, 0)]
    assert one(f"{_COUNT} WHERE file LIKE '%.jsonl'", older, source) == 2 * _PER_RUN


def test_parquet_beside_the_lines_it_was_made_of(tmp_path: Path) -> None:
    source = tmp_path / "source"
    paths = write_fleet(source, nodes=3)
    _exported(source, tmp_path / "tables")
    assert one(_COUNT, tmp_path) == 3 * _PER_RUN
    assert one("SELECT count(*) FROM runs", tmp_path) == 3
    files = ask("SELECT DISTINCT file FROM results UNION SELECT file FROM runs", tmp_path)
    assert {file for (file,) in files} == {str(path) for path in paths}


def test_parquet_has_what_has_gone_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_fleet(source, nodes=2)
    query = "SELECT * EXCLUDE file FROM results ORDER BY run_id, operation_id"
    runs = "SELECT * EXCLUDE file FROM runs ORDER BY run_id"
    before = ask(query, source), ask(runs, source)
    made = _exported(source, tmp_path / "tables")
    shutil.rmtree(source)
    assert (ask(query, *made), ask(runs, *made)) == before
    assert len(before[0]) == 2 * _PER_RUN


def test_foreign_parquet_is_named(tmp_path: Path) -> None:
    with tables.opened([tmp_path]) as opened:
        for name, query in (
            ("other", "SELECT 1 AS a"),
            (
                "wrong",
                "SELECT 'x' AS run_id, 'm' AS machine_id, 'e' AS experiment,"
                " 'never' AS started_at, 7 AS accepted, 'many' AS operations",
            ),
        ):
            opened.connection.execute(f"COPY ({query}) TO '{tmp_path}/{name}.parquet'")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    (tmp_path / "odd [1].parquet").write_bytes(b"")
    said = skipped(tmp_path)
    assert said["other.parquet"] == "has neither the columns of runs nor those of results"
    assert said["wrong.parquet"] == "1 rows that no run stores"
    assert "odd [1].parquet" in said
    assert "torn.parquet" in said
    assert one("SELECT count(*) FROM runs", tmp_path) == 0
