"""The journal: what is appended is there, whole, and what is broken is told."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from hps.errors import EXIT_NOT_STORED, NotStoredError
from hps.results.journal import Journal

RECORDS: list[dict[str, object]] = [
    {"kind": "run", "text": "ä\n\"'"},
    {"kind": "result", "n": 1, "none": None},
]


def _written(path: Path) -> Path:
    with Journal(path) as opened:
        for record in RECORDS:
            opened.append(record)
    return path


def _read(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    path = _written(tmp_path / "made/on/the/way.jsonl")
    assert _read(path) == RECORDS
    assert path.read_bytes().count(b"\n") == len(RECORDS)
    assert "ä" in path.read_text(encoding="utf-8")


def test_each_record_is_on_disk_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as opened:
        for number, record in enumerate(RECORDS, 1):
            opened.append(record)
            assert len(_read(path)) == number


def test_a_second_opening_appends(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    _written(path)
    assert _read(_written(path)) == RECORDS * 2


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_last_line_that_was_cut_off_is_passed_over(cut: int, tmp_path: Path) -> None:
    path = _written(tmp_path / "j.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    assert _read(path) == RECORDS[:1]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "run.jsonl"
    with pytest.raises(NotStoredError) as caught:
        Journal(path)
    assert caught.value.message.startswith(f"cannot write results to {path}: ")
    assert caught.value.hint == "name a folder that can be written with --output"
    assert caught.value.exit_code == EXIT_NOT_STORED


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not (full.exists() and stat.S_ISCHR(full.stat().st_mode)):
        pytest.skip("this system has no /dev/full")
    with Journal(full) as opened, pytest.raises(NotStoredError) as caught:
        opened.append(RECORDS[0])
    assert caught.value.message == "cannot write results to /dev/full: No space left on device"
    assert caught.value.hint == "is the disk full?"
