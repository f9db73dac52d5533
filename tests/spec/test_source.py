"""Files are read within bounds, and each kind of failure has its own words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.spec.load import load
from hps.spec.problems import SpecError, lines
from hps.spec.source import MAX_BYTES, SpecText, read_file

MINIMAL = b"""api: hps/v1
name: case
targets: {local: {provider: embedded}}
data: {size: 20MiB}
steps: [upload]
"""


def _failure(path: str) -> HpsError:
    with pytest.raises(HpsError) as caught:
        read_file(path)
    assert caught.value.hint
    return caught.value


def test_a_file_is_read_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\r\n")
    assert read_file(str(path)) == SpecText(name=str(path), content=b"a: \xff\r\n")


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no file" in _failure(str(tmp_path / "a.yaml")).message


def test_a_folder(tmp_path: Path) -> None:
    assert _failure(str(tmp_path)).message.endswith("is a folder")


def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert _failure(str(path)).message.endswith("is not a regular file")


def test_a_device_without_end() -> None:
    assert _failure("/dev/zero").message.endswith("is not a regular file")


def test_a_dash_is_a_name_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no file -" in _failure("-").message


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Root may read everything, so the test that must not be able to gives that up for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.usefixtures("as_nobody")
def test_a_file_that_may_not_be_read() -> None:
    assert _failure("/etc/shadow").message.endswith("may not be read")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_what_is_no_path(path: str) -> None:
    assert "cannot be read" in _failure(path).message


def test_the_largest_file_and_one_byte_more(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(MINIMAL + b"#" * (MAX_BYTES - len(MINIMAL)))
    assert load(read_file(str(path)), env={}).name == "case"
    with path.open("ab") as file:
        file.write(b"#")
    assert _failure(str(path)).message.endswith("is larger than 1 MiB")


def test_a_sparse_file_of_a_terabyte(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert _failure(str(path)).message.endswith("is larger than 1 MiB")


def test_content_from_elsewhere_is_bounded_too() -> None:
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=b"#" * (MAX_BYTES + 1)), env={})
    assert [problem.rule for problem in caught.value.problems] == ["too-large"]


def test_lines_end_where_yaml_ends_them() -> None:
    assert lines("a\r\nb\rc\nd\u2028e\x85f") == ["a", "b", "c", "d", "e", "f"]


def test_a_byte_that_is_not_utf8_is_located_by_characters() -> None:
    content = "name: é\ndescription: ü".encode() + b"\xff\n"
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=content), env={})
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 15)
    assert problem.message == "byte 24 (0xff) is not UTF-8"
