"""Torn, bad and foreign files are named and passed over; all that is good counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hps.errors import MachineError
from hps.results import database, reading, tables
from tests.results.fleet import CELLS, write_fleet
from tests.results.tabled import ask, lines, one, skipped, write

_COUNT = "SELECT count(*) FROM results"
_LONGEST = reading.LONGEST_LINE_BYTES
_PER_RUN = 2 * 3 * len(CELLS)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file that all is well with, beside which the others stand."""
    return write_fleet(tmp_path, nodes=1)[0]


def _bad(tmp_path: Path, *records: object) -> str:
    """What is said of a file with these records."""
    write(tmp_path / "bad.jsonl", *records)
    found = skipped(tmp_path)
    assert set(found) <= {"bad.jsonl"}, "the good file is not to blame"
    return found.get("bad.jsonl", "")


def test_of_a_torn_file_the_lines_before_count(tmp_path: Path, good: Path) -> None:
    (other,) = write_fleet(tmp_path / "torn", nodes=1, seed=1)
    content = other.read_bytes()
    other.write_bytes(content[:-100])
    assert one(_COUNT, tmp_path) == 2 * _PER_RUN - 1
    assert skipped(tmp_path) == {
        other.name: f"line {_PER_RUN + 1} is torn, as of a run that still goes on"
    }


def test_a_last_line_that_only_lacks_its_end_is_whole(tmp_path: Path, good: Path) -> None:
    good.write_bytes(good.read_bytes().removesuffix(b"\n"))
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert skipped(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no results of hps"),
        (b"\n\n", "no results of hps"),
        (b"hello\nworld\n", "line 1 is not JSON; line 2 is not JSON"),
        (bytes(range(256)), "is not JSON"),
        (b'{"kind":"order","id":1}\n', "line 1 is neither a run nor a result"),
        (b"[1,2]\nnull\n7\n", "line 3 is neither a run nor a result"),
        (b'{"kind":"result","run_id":"r"}\n', "line 1 lacks machine_id, experiment, operation_id"),
        (b'{"kind":"run"}\n' * 9, "and 6 more"),
        (b'{"kind":"\xff\xfe"}\n', "line 1 is not JSON"),
        (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        (b'}\n{"kind":"run","line":{}}\n', "line 1 is not JSON"),
    ],
)
def test_what_is_foreign_is_named(tmp_path: Path, good: Path, content: bytes, said: str) -> None:
    told = _bad(tmp_path, content)
    assert told.startswith("no results of hps")
    assert said in told
    assert one(_COUNT, tmp_path) == _PER_RUN


@pytest.mark.parametrize(
    "change",
    [
        {"duration_s": "long"},
        {"duration_s": -1},
        {"duration_s": None},
        {"throughput_mbps": -5.0},
        {"throughput_mbps": 1e999},
        {"status": "great"},
        {"cell": "10MiB"},
        {"cell": None},
        {"warmup": None},
        {"step_index": {}},
        {"requested": []},
        {"requested": {"chunk_size_bytes": "10MiB"}},
        {"machine_id": None},
    ],
)
def test_a_result_that_no_run_stores_does_not_count(
    tmp_path: Path, good: Path, change: dict[str, Any]
) -> None:
    run, first, second = lines(good)[:3]
    write(good, run, first | change, second)
    assert one(_COUNT, tmp_path) == 1
    assert set(skipped(tmp_path)) == {good.name}


def test_a_key_that_is_new_does_no_harm(tmp_path: Path, good: Path) -> None:
    run, first = lines(good)[:2]
    write(good, run | {"weather": {"rain": [1]}}, first | {"kindness": "great", "files_": []})
    assert one(_COUNT, tmp_path) == 1
    assert skipped(tmp_path) == {}


def test_a_file_may_be_of_several_runs(tmp_path: Path) -> None:
    paths = write_fleet(tmp_path / "each", nodes=3)
    together = tmp_path / "together.jsonl"
    together.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert one(_COUNT, together) == 3 * _PER_RUN
    assert one("SELECT count(*) FROM nodes", together) == 3


def test_blank_lines_and_line_ends_of_windows_are_nothing_bad(tmp_path: Path, good: Path) -> None:
    good.write_bytes(b"\n" + good.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert skipped(tmp_path) == {}


def test_a_line_that_is_far_too_long_is_passed_over(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 1024**2)
    run, first, second, third = lines(good)[:4]
    long = json.dumps(first | {"x": "x" * 2 * _LONGEST}).encode() + b"\n"
    write(good, run, first, long, second, long * 2, third)
    assert one(_COUNT, tmp_path) == 3
    said = skipped(tmp_path)[good.name]
    assert said == "line 3 is too long; line 5 is too long; line 6 is too long"


def test_a_large_file_is_read_in_blocks(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 4000)
    monkeypatch.setattr(reading, "_BATCH_BYTES", 10_000)
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert skipped(tmp_path) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("a*.jsonl", "a[1].jsonl", "a?.jsonl", "{a,b}.jsonl", "a\\b.jsonl", "it's.jsonl"),
        *("a\nb.jsonl", '"x".jsonl', "-rf.jsonl", "%2e%2e.jsonl", "experiment=x/a.jsonl"),
        *("ünï 雪.jsonl", ".a.jsonl"),
    ],
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    (path,) = write_fleet(tmp_path / "made", nodes=1)
    folder = tmp_path / "in [a] folder"
    odd = folder / name
    odd.parent.mkdir(parents=True)
    path.rename(odd)
    (folder / "a1.jsonl").write_bytes(b"not mine\n")
    assert ask("SELECT file, experiment FROM runs", folder) == [(str(odd), "fleet")]
    assert one(_COUNT, folder) == _PER_RUN
    assert set(skipped(folder)) == {"a1.jsonl"}


def test_a_name_that_is_no_text_is_passed_over(tmp_path: Path, good: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl")).write_bytes(good.read_bytes())
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert list(skipped(tmp_path).values()) == ["its name is no text"]


def test_what_is_no_file_is_passed_over(tmp_path: Path, good: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    assert one(_COUNT, tmp_path) == _PER_RUN
    assert skipped(tmp_path) == {
        "pipe.jsonl": "is not a file",
        "gone.jsonl": "No such file or directory",
    }


def test_a_file_that_goes_away_while_it_is_read_harms_no_other(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = write_fleet(tmp_path / "other", nodes=1, seed=1)
    written = reading.written

    def late(*arguments: Any) -> Any:
        other.unlink(missing_ok=True)
        return written(*arguments)

    monkeypatch.setattr(reading, "written", late)
    with tables.opened([tmp_path]) as opened:
        counted = opened.connection.execute(_COUNT).fetchall()
        assert counted == [(_PER_RUN,)]
        assert opened.skipped == {str(other): "No such file or directory"}


_RECORD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_a_line_holds_nothing_breaks(tmp_path: Path, good: Path, data: Any) -> None:
    run, *results = lines(good)[:4]
    names = sorted(run.keys() | results[0].keys())
    changed = [
        record | {data.draw(st.sampled_from(names)): data.draw(_RECORD)}
        for record in (run, *results)
    ]
    text = "".join(json.dumps(record) + "\n" for record in changed).encode()
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.binary(max_size=4)) + text[at:]
    (tmp_path / "bad.jsonl").write_bytes(text)
    with tables.opened([tmp_path]) as opened:
        execute = opened.connection.execute
        file = str(good).replace("'", "''")
        counted = execute(f"SELECT count(*) FROM stored.results WHERE file = '{file}'").fetchall()
        assert counted == [(_PER_RUN,)]
        for table in ("runs", "results", "nodes"):
            execute(f"SELECT * FROM {table}").fetchall()


def test_a_file_that_unpacks_to_more_than_there_is_memory_for_is_told_as_that(
    tmp_path: Path,
) -> None:
    def unpack() -> None:
        with database.opened(tmp_path) as connection:
            connection.execute("SET memory_limit = '20MB'")
            connection.execute("SELECT list(i) FROM range(20000000) t(i)").fetchall()

    with pytest.raises(MachineError, match="more than 1GiB of memory"):
        unpack()
