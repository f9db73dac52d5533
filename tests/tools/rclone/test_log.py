"""What is read from logs that rclone really wrote (`tests/tools/rclone/logs`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.log import RcloneLog
from tests.builders import MIB

LOGS = Path(__file__).parent / "logs"
PARTS = {1: 5 * MIB, 2: 5 * MIB, 3: 2 * MIB}


def _read(name: str) -> RcloneLog:
    return rclone_log.read(LOGS / f"{name}.log")


def test_an_upload_in_parts() -> None:
    log = _read("upload_in_parts")
    assert log.chunks == {("p", number): size for number, size in PARTS.items()}
    assert (log.chunk_size_bytes, log.chunk_sizes()) == (5 * MIB, (5 * MIB, 2 * MIB))
    assert (log.streams, log.peak_in_flight, log.copied) == (None, 2, 1)
    assert (log.bytes, log.retries, log.last_error) == (12 * MIB, 0, "")
    assert log.first_file_at == datetime(2026, 11, 22, 13, 23, 41, 521793, UTC)
    assert log.first_chunk_at == datetime(2026, 11, 22, 13, 23, 42, 33867, UTC)
    assert log.overlap_s == pytest.approx(0.334, abs=0.001)


def test_a_download_in_ranges() -> None:
    log = _read("download_in_ranges")
    assert log.chunks == {("p", number): size for number, size in PARTS.items()}
    assert (log.streams, log.peak_in_flight, log.copied, log.bytes) == (2, 2, 1, 12 * MIB)
    assert log.first_chunk_at == datetime(2026, 11, 22, 13, 23, 42, 726754, UTC)
    assert log.overlap_s == pytest.approx(0.112, abs=0.001)


@pytest.mark.parametrize(
    ("name", "size_bytes"), [("upload_whole", MIB), ("download_whole_again", 12 * MIB)]
)
def test_a_file_that_travels_whole_says_only_that_it_was_copied(name: str, size_bytes: int) -> None:
    log = _read(name)
    assert (log.chunks, log.chunk_size_bytes, log.chunk_sizes()) == ({}, None, ())
    assert (log.streams, log.peak_in_flight, log.first_chunk_at) == (None, 0, None)
    assert (log.copied, log.bytes, log.overlap_s) == (1, size_bytes, 0.0)
    assert log.first_file_at is not None


def test_a_folder_in_parts() -> None:
    log = _read("upload_folder_in_parts")
    parts = {1: 5 * MIB, 2: 5 * MIB, 3: MIB}
    assert log.chunks == {(name, n): size for name in "012" for n, size in parts.items()}
    assert log.chunk_size_bytes == 5 * MIB
    assert (log.peak_in_flight, log.peak_files, log.copied) == (4, 2, 3)
    assert log.bytes == 33 * MIB


def test_a_folder_of_whole_files_shows_its_overlap_in_the_statistics() -> None:
    log = _read("upload_folder_whole")
    assert (log.chunks, log.peak_in_flight, log.peak_files, log.copied) == ({}, 0, 2, 3)
    assert log.overlap_s == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("name", "moved_bytes"),
    [
        ("upload_part_sent_again", 12 * MIB),
        ("upload_whole_sent_again", 2 * MIB),
        ("download_range_reopened", 12 * MIB),
    ],
)
def test_one_request_that_was_repeated_is_one_retry(name: str, moved_bytes: int) -> None:
    log = _read(name)
    assert (log.retries, log.copied, log.bytes, log.last_error) == (1, 1, moved_bytes, "")


def test_what_went_wrong_is_the_last_error() -> None:
    assert _read("upload_forbidden").last_error == (
        "Attempt 1/1 failed with 1 errors and: failed to upload chunk 1 with 5242880 bytes: "
        "operation error S3: UploadPart, https response error StatusCode: 403, RequestID: , "
        "HostID: , api error Forbidden: Forbidden"
    )
    assert _read("download_missing").last_error == (
        "Source doesn't exist or is a directory and destination is a file"
    )


def test_lines_that_are_no_objects_are_passed_over() -> None:
    whole = (LOGS / "upload_in_parts.log").read_bytes().splitlines(keepends=True)
    assert not whole[0].startswith(b"{")
    noise = [b"", b"\n", b"plain text\n", b'["a list"]\n', b"{not json}\n", b"\xff\xfe\n", b"{}\n"]
    mixed = [part for line in whole for part in (*noise, line)]
    assert rclone_log.parse(mixed) == rclone_log.parse(whole)


def test_a_line_that_a_kill_cut_off_is_passed_over() -> None:
    whole = (LOGS / "upload_in_parts.log").read_bytes()
    first_done = whole.index(b"wrote chunk 1")
    torn = rclone_log.parse(whole[: first_done + 20].splitlines(keepends=True))
    assert (torn.chunks, torn.copied, torn.peak_in_flight) == ({}, 0, 2)


@pytest.mark.parametrize("cut", range(0, 9000, 900))
def test_a_log_can_end_anywhere(cut: int) -> None:
    torn = rclone_log.parse((LOGS / "upload_in_parts.log").read_bytes()[:cut].splitlines())
    assert len(torn.chunks) <= 3


def test_an_unreadable_time_is_no_time() -> None:
    line = b'{"msg":"multipart upload: starting chunk 0 size 5Mi","object":"p","time":"soon"}'
    log = rclone_log.parse([line])
    assert (log.first_chunk_at, log.peak_in_flight) == (None, 1)


def test_chunks_of_different_sizes_have_no_size() -> None:
    log = RcloneLog(chunks={("a", 1): 5, ("a", 2): 6, ("a", 3): 1})
    assert (log.chunk_size_bytes, log.chunk_sizes()) == (None, (6, 5, 1))
    single = RcloneLog(chunks={("a", 1): 5, ("b", 1): 5})
    assert single.chunk_size_bytes == 5


def test_how_long_a_log_was_silent_is_counted_once_files_move() -> None:
    def line(second: int, message: str) -> bytes:
        return json.dumps({"msg": message, "time": f"2026-11-22T12:00:{second:02}Z"}).encode()

    slow = [line(0, "Version"), line(9, "Need to transfer - File not found at Destination")]
    assert rclone_log.parse(slow).silent_s == 0
    still = [*slow, line(10, "one"), line(15, "two"), line(16, "three")]
    assert rclone_log.parse(still).silent_s == 4.5
