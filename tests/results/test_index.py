"""What was read is kept, as long as the files are as they were; and never trusted beyond that."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from hps.results import index, reading, tables
from tests.results.fleet import CELLS, write_fleet
from tests.results.tabled import ask, lines, one, skipped, write

_COUNT = "SELECT count(*) FROM results"
_PER_RUN = 2 * 3 * len(CELLS)


@pytest.fixture(autouse=True)
def all_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is small."""
    monkeypatch.setattr(index, "WORTH_KEEPING_BYTES", 1)


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files as they are read."""
    names: list[str] = []
    read = reading.read

    def noted(connection: Any, files: Any, into: Path) -> dict[str, str]:
        names.extend(Path(file.name).name for file in files)
        return read(connection, files, into)

    monkeypatch.setattr(reading, "read", noted)
    return names


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / index.FOLDER).glob("*/part-*"))


def test_what_is_read_once_is_not_read_again(tmp_path: Path, read_names: list[str]) -> None:
    paths = write_fleet(tmp_path, nodes=3)
    write(tmp_path / "bad.jsonl", b"hello\n")
    query = "SELECT * FROM results ORDER BY run_id, operation_id"
    first, said = ask(query, tmp_path), skipped(tmp_path)
    assert sorted(read_names) == sorted(["bad.jsonl", *(path.name for path in paths)])
    assert (ask(query, tmp_path), skipped(tmp_path)) == (first, said)
    assert said == {"bad.jsonl": "no results of hps; line 1 is not JSON"}
    assert len(read_names) == 4
    assert len(_parts(tmp_path)) == 1


def test_what_is_new_is_read_alone(tmp_path: Path, read_names: list[str]) -> None:
    write_fleet(tmp_path, nodes=2)
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    read_names.clear()
    *_, new = write_fleet(tmp_path / "more", nodes=1, seed=9)
    assert one(_COUNT, tmp_path) == 3 * _PER_RUN
    assert read_names == [new.name]


def test_a_file_that_grows_is_read_anew(tmp_path: Path, read_names: list[str]) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    records = lines(path)
    write(path, *records[:5])
    assert one(_COUNT, tmp_path) == 4
    write(path, *records)
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert len(read_names) == 2


def test_other_content_of_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    query = "SELECT count(*) FROM results WHERE tool_version = '9.99.9'"
    assert one(query, tmp_path) == 0
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b'"1.75.2"', b'"9.99.9"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert one(query, tmp_path) == _PER_RUN


def test_a_file_that_is_gone_is_gone(tmp_path: Path, read_names: list[str]) -> None:
    first, *_ = write_fleet(tmp_path, nodes=3)
    assert one(_COUNT, tmp_path) == 3 * _PER_RUN
    first.unlink()
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    assert one("SELECT count(*) FROM runs", tmp_path) == 2
    assert len(read_names) == 3


def test_one_file_of_an_indexed_folder(tmp_path: Path, read_names: list[str]) -> None:
    paths = write_fleet(tmp_path, nodes=3)
    write(tmp_path / "a.jsonl", *lines(paths[0]))
    assert one(_COUNT, tmp_path) == 3 * _PER_RUN
    read_names.clear()
    assert one(_COUNT, tmp_path / "a.jsonl") == _PER_RUN
    assert read_names == []


@pytest.mark.parametrize("spoil", ["note", "json", "rows", "rubbish", "gone", "columns"])
def test_a_part_that_is_spoilt_is_made_anew(
    tmp_path: Path, read_names: list[str], spoil: str
) -> None:
    write_fleet(tmp_path, nodes=2)
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    (part,) = _parts(tmp_path)
    results, note = part / "results.parquet", part / "part.json"
    match spoil:
        case "note":
            note.unlink()
        case "json":
            note.write_text("[1, 2]")
        case "rows":
            told = json.loads(note.read_text())
            note.write_text(json.dumps(told | {"rows": {"runs": 2, "results": 1}}))
        case "rubbish":
            results.write_bytes(results.read_bytes()[:-200])
        case "gone":
            results.unlink()
        case _:
            told = json.loads(note.read_text())
            note.write_text(json.dumps(told | {"rows": {"runs": 2, "results": 2}}))
            shutil.copy(part / "runs.parquet", results)
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    assert len(read_names) == 4


def test_where_nothing_can_be_written_nothing_is_kept(
    tmp_path: Path, read_names: list[str]
) -> None:
    write_fleet(tmp_path, nodes=1)
    (tmp_path / index.FOLDER).write_text("in the way")
    for _ in range(2):
        assert one(_COUNT, tmp_path) == _PER_RUN
    assert len(read_names) == 2


def test_where_the_disk_is_full_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(tmp_path, nodes=1)
    read = reading.read

    def full(connection: Any, files: Any, into: Path) -> dict[str, str]:
        if index.FOLDER in str(into):
            raise OSError(errno.ENOSPC, "No space left on device")
        return read(connection, files, into)

    monkeypatch.setattr(reading, "read", full)
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert _parts(tmp_path) == []


def test_little_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    write_fleet(tmp_path, nodes=1)
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert not (tmp_path / index.FOLDER).exists()


def test_many_parts_become_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_names: list[str]
) -> None:
    monkeypatch.setattr(index, "MOST_PARTS", 2)
    monkeypatch.setattr(index, "_SPARED_S", -1.0)
    for seed in range(4):
        write_fleet(tmp_path, nodes=1, seed=seed)
        write(tmp_path / f"bad-{seed}.jsonl", b"hello\n")
        assert one(_COUNT, tmp_path) == (seed + 1) * _PER_RUN
        assert len(skipped(tmp_path)) == seed + 1
        assert len(_parts(tmp_path)) <= 2
    assert len(read_names) == 8


def test_parts_that_are_mostly_out_of_date_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SPARED_S", -1.0)
    paths = write_fleet(tmp_path, nodes=5)
    assert one(_COUNT, tmp_path) == 5 * _PER_RUN
    for path in paths[:4]:
        path.unlink()
    write_fleet(tmp_path, nodes=1, seed=1)
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    (part,) = _parts(tmp_path)
    assert len(json.loads((part / "part.json").read_text())["files"]) == 2


def test_what_others_may_be_reading_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MOST_PARTS", 1)
    write_fleet(tmp_path, nodes=1)
    with tables.opened([tmp_path]) as opened:
        write_fleet(tmp_path, nodes=2)
        assert one(_COUNT, tmp_path) == 2 * _PER_RUN
        assert opened.connection.execute(_COUNT).fetchall() == [(_PER_RUN,)]
    (old, *_), before_s = _parts(tmp_path), time.time() - 2 * index._SPARED_S
    os.utime(old, (before_s, before_s))
    unfinished = old.parent / "new-abc"
    unfinished.mkdir()
    os.utime(unfinished, (before_s, before_s))
    write_fleet(tmp_path, nodes=3)
    assert one(_COUNT, tmp_path) == 3 * _PER_RUN
    assert not old.exists()
    assert not unfinished.exists()


def test_the_index_itself_holds_no_results(tmp_path: Path) -> None:
    write_fleet(tmp_path, nodes=2)
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN
    folders = ask("SELECT DISTINCT file FROM results", tmp_path)
    assert not any(index.FOLDER in file for (file,) in folders)
