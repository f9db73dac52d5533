"""When fewer chunks or files in flight than asked for are the tool's doing, and when the disk's."""

from __future__ import annotations

import heapq
import json
from datetime import UTC, datetime, timedelta

import pytest

from hps.tools.rclone import log, tool
from hps.tools.rclone.log import RcloneLog

_START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def _line(at_s: float, message: str, **more: object) -> bytes:
    at = (_START + timedelta(seconds=at_s)).isoformat()
    return json.dumps({"time": at, "msg": message, "object": "a", **more}).encode()


def _upload(*, chunks: int, most: int, read_s: float, chunk_s: float) -> RcloneLog:
    """A file whose chunks are read one after another, and `most` of them sent at once."""
    lines, busy, now_s = [], [0.0] * most, 0.0
    for number in range(chunks):
        now_s = max(now_s, heapq.heappop(busy)) + read_s
        end_s = now_s + chunk_s * (1 + number % 3 / 50)
        heapq.heappush(busy, end_s)
        lines.append((now_s, f"multipart upload: starting chunk {number} size 5Mi offset 0"))
        lines.append((end_s, f"multipart upload wrote chunk {number + 1} with 5 bytes and etag"))
    return log.parse(_line(at_s, message) for at_s, message in sorted(lines))


@pytest.mark.parametrize("most", [1, 2, 4, 7])
@pytest.mark.parametrize("chunks", [16, 20])
def test_a_tool_that_makes_fewer_streams_is_found(most: int, chunks: int) -> None:
    log = _upload(chunks=chunks, most=most, read_s=0.01, chunk_s=0.5)
    assert (log.peak_streams, tool.too_few_streams(log, 8)) == (most, True)


@pytest.mark.parametrize(
    ("most", "read_s", "chunk_s"),
    [
        (8, 0.01, 0.5),  # as many as asked for
        (8, 0.2, 0.5),  # the disk is slow
        (8, 0.3, 0.5),
        (8, 0.7, 0.5),
        (8, 0.26, 0.5),  # each chunk is read just before another one ends
        (2, 0.001, 0.1),  # too quick to be told
    ],
)
def test_what_the_disk_or_a_fast_link_does_is_no_fault(
    most: int, read_s: float, chunk_s: float
) -> None:
    assert not tool.too_few_streams(
        _upload(chunks=20, most=most, read_s=read_s, chunk_s=chunk_s), 8
    )


def test_with_few_chunks_nothing_is_proved() -> None:
    log = _upload(chunks=3, most=2, read_s=0.01, chunk_s=0.5)
    assert not tool.too_few_streams(log, 3)
    assert not tool.too_few_streams(RcloneLog(), 3)


def _folder(*flights: str) -> RcloneLog:
    """Ten files that wait, and those in flight each half second."""
    lines = [_line(0.0, "Need to transfer - File not found at Destination") for _ in range(10)]
    for number, names in enumerate(flights, 1):
        files = [{"name": name} for name in names]
        lines.append(_line(number / 2, "stats", stats={"bytes": 1, "transferring": files}))
    return log.parse(lines)


@pytest.mark.parametrize(
    ("flights", "found"),
    [
        (("ab", "ab", "ab"), True),  # nobody took up a third one in all this time
        (("ab", "ac", "cd"), False),
        (("abcd", "abcd", "abcd"), False),
        ((), False),
    ],
)
def test_files_that_wait_while_others_take_long(flights: tuple[str, ...], found: bool) -> None:
    assert tool.too_few_files(_folder(*flights), 4) is found
