"""What a declared transfer comes to on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.catalog.tools import count_chunks, effective, explain
from hps.model import Direction
from tests.builders import MIB, make_transfer


@pytest.mark.parametrize(
    ("size_bytes", "chunks"),
    [(0, 1), (1, 1), (5 * MIB, 1), (5 * MIB + 1, 2), (10 * MIB, 2), (200 * MIB, 40)],
)
def test_chunks_of_5_mib(size_bytes: int, chunks: int) -> None:
    assert count_chunks(size_bytes, 5 * MIB) == chunks


@pytest.mark.parametrize(
    ("direction", "size_mib", "concurrency", "chunk_mib", "streams"),
    [
        ("up", 200, 10, 10, 10),
        ("down", 200, 10, 10, 10),
        ("up", 25, 10, 10, 3),
        ("down", 25, 10, 10, 3),
        ("up", 200, 1, 10, 1),
        ("down", 200, 1, 200, 1),
        ("up", 10, 4, 10, 1),
        ("down", 7, 4, 7, 1),
    ],
)
def test_effective(
    direction: Direction, size_mib: int, concurrency: int, chunk_mib: int, streams: int
) -> None:
    asked = make_transfer(concurrency=concurrency)
    applied = effective(asked, direction, size_bytes=size_mib * MIB, files=9)
    assert applied == make_transfer(chunk_size_bytes=chunk_mib * MIB, concurrency=streams)


def test_no_more_files_at_once_than_there_are() -> None:
    asked = make_transfer(transfers=8)
    assert effective(asked, "up", size_bytes=MIB, files=3).transfers == 3
    assert effective(asked, "up", size_bytes=MIB, files=30).transfers == 8


@given(
    st.sampled_from(["up", "down"]),
    st.integers(0, 500 * MIB),
    st.integers(1, 50),
    st.integers(5 * MIB, 100 * MIB),
    st.integers(1, 64),
    st.integers(1, 64),
)
def test_what_is_effective_is_effective_again(
    direction: Direction, size_bytes: int, files: int, chunk: int, concurrency: int, transfers: int
) -> None:
    asked = make_transfer(chunk_size_bytes=chunk, concurrency=concurrency, transfers=transfers)
    if size_bytes:
        once = effective(asked, direction, size_bytes=size_bytes, files=files)
        assert effective(once, direction, size_bytes=size_bytes, files=files) == once
        assert 1 <= once.concurrency <= count_chunks(size_bytes, once.chunk_size_bytes)


@pytest.mark.parametrize(
    ("direction", "size_mib", "files", "first", "second", "reason"),
    [
        (
            "up",
            8,
            1,
            {"chunk_size_bytes": 10 * MIB},
            {"chunk_size_bytes": 25 * MIB},
            "the file is a single chunk and travels whole",
        ),
        (
            "down",
            200,
            1,
            {"concurrency": 1},
            {"concurrency": 1, "chunk_size_bytes": 25 * MIB},
            "one stream downloads the file as one plain GET, whatever the chunk size",
        ),
        (
            "up",
            40,
            1,
            {"concurrency": 16},
            {"concurrency": 4},
            "the file has 4 chunks, so that no more can be in flight",
        ),
        (
            "up",
            40,
            2,
            {"transfers": 8},
            {"transfers": 2},
            "2 at once is all there is to move",
        ),
        (
            "up",
            40,
            2,
            {"concurrency": 16, "transfers": 8},
            {},
            "the file has 4 chunks, so that no more can be in flight; "
            "2 at once is all there is to move",
        ),
        ("up", 40, 1, {}, {}, ""),
    ],
)
def test_explain(
    direction: Direction,
    size_mib: int,
    files: int,
    first: dict[str, object],
    second: dict[str, object],
    reason: str,
) -> None:
    said = explain(
        make_transfer(**first),
        make_transfer(**second),
        direction,
        size_bytes=size_mib * MIB,
        files=files,
    )
    assert said == reason
