"""Declared is delivered: every way in which an operation is found not to be what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hps.catalog.failures import failure
from hps.model import Applied, Failure, Observed, Operation, Status
from hps.process.process import Ended, Exit
from hps.process.sockets import ConnectionCounter
from hps.tools import exits
from hps.tools.base import Evidence
from hps.tools.rclone import errors, tool
from hps.tools.rclone.log import RcloneLog
from tests.builders import MIB, make_operation

_REFUSED = "dial tcp 127.0.0.1:9: connect: connection refused"
START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An operation, what its log said, and what the sockets showed."""

    operation: Operation
    log: RcloneLog
    connections: int = 4
    samples: int = 20
    offers_http2: bool = False

    @property
    def effective(self) -> Applied | None:
        return tool.effective(self.log, self.operation, offers_http2=self.offers_http2)

    @property
    def observed(self) -> Observed:
        counter = ConnectionCounter(samples=self.samples, most_with_payload=self.connections)
        return tool.observed(self.log, self.operation, counter)

    @property
    def failure(self) -> Failure | None:
        return tool.why_invalid(self.log, self.operation, self.effective, self.observed)


def _chunks(count: int, size_bytes: int, *names: str) -> dict[tuple[str, int], int]:
    return {(name, n): size_bytes for name in names or ("0.bin",) for n in range(1, count + 1)}


def _upload(**changes: object) -> Seen:
    """20 MiB in 4 chunks of 5 MiB, all in flight at once for 3 s."""
    operation = make_operation("upload", chunk_size=5 * MIB, concurrency=4)
    log = RcloneLog(
        chunks=_chunks(4, 5 * MIB),
        peak_in_flight=4,
        peak_streams=4,
        copied=1,
        bytes=20 * MIB,
        overlap_s=3.0,
    )
    return replace(Seen(operation=operation, log=log), **changes)  # type: ignore[arg-type]


def _download(**log: object) -> Seen:
    operation = make_operation("download", chunk_size=5 * MIB, concurrency=4)
    plain = RcloneLog(
        chunks=_chunks(4, 5 * MIB),
        streams=4,
        peak_in_flight=4,
        peak_streams=4,
        copied=1,
        bytes=20 * MIB,
        overlap_s=3.0,
    )
    return Seen(operation=operation, log=replace(plain, **log))  # type: ignore[arg-type]


def _log(seen: Seen, **changes: object) -> Seen:
    return replace(seen, log=replace(seen.log, **changes))  # type: ignore[arg-type]


def test_what_was_delivered_is_valid() -> None:
    seen = _upload()
    assert seen.failure is None
    assert seen.effective is not None
    assert seen.operation.effective is not None
    assert asdict(seen.effective) == asdict(seen.operation.effective)
    assert seen.observed == Observed(
        chunks=4,
        chunk_size_bytes=5 * MIB,
        peak_in_flight=4,
        connections=4,
        connection_samples=20,
        bytes=20 * MIB,
    )
    assert _download().failure is None


def test_a_link_too_fast_to_fill_all_streams_is_valid() -> None:
    seen = _log(_upload(connections=1), peak_in_flight=1, peak_streams=1, overlap_s=0.0)
    assert seen.failure is None
    assert (seen.observed.peak_in_flight, seen.observed.connections) == (1, 1)
    assert seen.effective is not None
    assert seen.effective.concurrency is None


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(operation=make_operation(), log=RcloneLog()), "rclone's log shows no transfer"),
        (_log(_upload(), copied=0), "rclone copied 0 of 1 files"),
        (_log(_upload(), copied=2), "rclone copied 2 of 1 files"),
        (_log(_upload(), bytes=10 * MIB), "rclone moved 10485760 of 20971520 bytes"),
        (
            _log(_upload(), chunks={("a", 1): 5 * MIB, ("a", 2): 9 * MIB, ("a", 3): 6 * MIB}),
            "chunks of different sizes: 9MiB, 6MiB, 5MiB",
        ),
        (_log(_upload(), chunks=_chunks(2, 10 * MIB)), "chunks of 10MiB, not of 5MiB"),
        (
            _log(_upload(), chunks={}),
            "chunks of 20MiB, not of 5MiB; 1 streams a file, not 4",
        ),
        (_log(_upload(), peak_in_flight=6, peak_streams=6), "6 streams a file, not 4"),
        (_download(streams=2, peak_in_flight=2, peak_streams=2), "2 streams a file, not 4"),
        (_download(streams=16), "16 streams a file, not 4"),
        (_log(_upload(), peak_files=3), "3 files at once, not 1"),
        (_upload(connections=1), "one connection carried 4 streams"),
        (
            _log(_upload(connections=1), chunks=_chunks(2, 10 * MIB), bytes=MIB),
            "rclone moved 1048576 of 20971520 bytes; chunks of 10MiB, not of 5MiB; "
            "one connection carried 4 streams",
        ),
    ],
)
def test_what_was_not_delivered_is_invalid(seen: Seen, reason: str) -> None:
    assert seen.failure == _not_as_declared(reason)


def test_a_retry_moves_more_bytes_than_the_payload_and_is_valid() -> None:
    assert _log(_upload(), bytes=25 * MIB, retries=1).failure is None


def test_a_file_that_was_planned_whole_and_went_in_parts_is_invalid() -> None:
    whole = make_operation("upload", chunk_size=64 * MIB, concurrency=4)
    seen = _log(_upload(operation=whole), peak_in_flight=1, peak_streams=1)
    assert seen.failure == _not_as_declared("chunks of 5MiB, not of 20MiB")


def test_a_download_by_one_stream_is_one_plain_get() -> None:
    operation = make_operation("download", chunk_size=5 * MIB, concurrency=1)
    seen = Seen(operation=operation, log=RcloneLog(copied=1, bytes=20 * MIB), connections=1)
    assert seen.failure is None
    assert seen.effective is not None
    assert (seen.effective.chunk_size_bytes, seen.effective.concurrency) == (20 * MIB, 1)
    assert (seen.observed.chunks, seen.observed.peak_in_flight) == (1, 1)


def test_a_folder_may_have_all_streams_of_all_its_files_in_flight() -> None:
    operation = make_operation("upload", chunk_size=5 * MIB, concurrency=4, files=3, transfers=2)
    log = RcloneLog(
        chunks=_chunks(4, 5 * MIB, "0", "1", "2"),
        peak_in_flight=8,
        peak_streams=4,
        peak_files=2,
        copied=3,
        bytes=60 * MIB,
        overlap_s=3.0,
    )
    seen = Seen(operation=operation, log=log)
    assert seen.failure is None
    assert seen.effective is not None
    assert (seen.effective.concurrency, seen.effective.transfers) == (4, 2)
    assert _log(seen, peak_streams=5).failure == _not_as_declared("5 streams a file, not 4")
    quick = _log(seen, peak_files=1)
    assert quick.effective is not None
    assert (quick.failure, quick.effective.transfers) == (None, None)
    assert _log(quick, unchanged_looks=2).failure == _not_as_declared("1 files at once, not 2")


@pytest.mark.parametrize(
    ("samples", "overlap_s", "valid"),
    [(20, 3.0, False), (5, 1.0, False), (4, 3.0, True), (20, 0.9, True), (0, 0.0, True)],
)
def test_one_connection_counts_only_where_several_would_have_been_seen(
    samples: int, overlap_s: float, valid: bool
) -> None:
    seen = _log(_upload(connections=1, samples=samples), overlap_s=overlap_s)
    assert (seen.failure is None) is valid


def test_connections_that_could_not_be_seen_are_no_reason() -> None:
    seen = _upload(connections=0)
    assert (seen.failure, seen.observed.connections) == (None, None)


def test_http2_shares_a_connection_and_must_be_offered() -> None:
    operation = make_operation("upload", chunk_size=5 * MIB, concurrency=4, http2=True)
    offered = _upload(operation=operation, connections=1, offers_http2=True)
    assert offered.failure is None
    refused = _upload(operation=operation, connections=4, offers_http2=False)
    assert refused.failure == _not_as_declared(
        "HTTP/2 was asked for; the endpoint offers only HTTP/1.1"
    )


def test_a_step_without_payload_is_never_invalid() -> None:
    seen = Seen(operation=make_operation("list"), log=RcloneLog())
    assert (seen.failure, seen.effective) == (None, None)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a process ended, what is said of it, and what that comes to: status, code, text."""

    returncode: int = 0
    ended: Ended = "exit"
    said: Mapping[str, Any] = field(default_factory=dict)
    expected: tuple[Status, str, str]


def _judged(
    ended: Exit,
    operation: Operation,
    *,
    last_error: str = "",
    behind: str = "",
    starved: bool = False,
    **seen: Any,
) -> tuple[Status, Failure | None]:
    """As a transfer is judged of whose log this is known."""

    def explain() -> Failure:
        return errors.of_exit_code(ended.returncode, last_error, behind)

    return exits.judge("rclone", ended, operation, Evidence(**seen), explain, starved=starved)


@pytest.mark.parametrize(
    "end",
    [
        End(expected=("ok", "", "")),
        End(
            ended="timeout",
            returncode=-15,
            expected=("timeout", "timeout", "stopped after its time-out of 3 m 48 s"),
        ),
        End(
            ended="timeout",
            returncode=-15,
            said={"repeated": errors.repeated(2, _REFUSED)},
            expected=(
                "timeout",
                "timeout",
                "stopped after its time-out of 3 m 48 s; 2 requests were repeated, since "
                "127.0.0.1:9 refuses connections",
            ),
        ),
        End(
            ended="stopped",
            returncode=-15,
            expected=("interrupted", "stopped", "the run was stopped"),
        ),
        End(
            returncode=-9,
            expected=("failed", "tool_crashed", "rclone was ended by signal 9 (SIGKILL)"),
        ),
        End(
            returncode=7,
            said={"last_error": "no  such\nbucket"},
            expected=("failed", "tool_failed", "rclone exit code 7 (fatal error): no such bucket"),
        ),
        End(
            returncode=3,
            expected=(
                "failed",
                "tool_failed",
                "rclone exit code 3 (directory not found): it said nothing",
            ),
        ),
        End(
            returncode=99,
            expected=("failed", "tool_failed", "rclone exit code 99 (unknown): it said nothing"),
        ),
        End(
            returncode=1,
            said={"last_error": "x" * 500},
            expected=("failed", "tool_failed", f"rclone exit code 1 (other error): {'x' * 400}"),
        ),
        End(
            returncode=9,
            expected=(
                "failed",
                "not_found",
                "nothing was transferred: what was to be moved is not there",
            ),
        ),
        End(
            returncode=2,
            said={"crash": "panic: index out of range"},
            expected=("failed", "tool_crashed", "rclone crashed: panic: index out of range"),
        ),
    ],
)
def test_how_a_process_ended(end: End) -> None:
    ended = _exit(returncode=end.returncode, ended=end.ended)
    status, code, text = end.expected
    expected = failure(code, text) if code else None
    assert _judged(ended, make_operation(), **end.said) == (status, expected)


@pytest.mark.parametrize(
    ("returncode", "said"),
    [(2, {"crash": "fatal error: runtime: out of memory"}), (-9, {"starved": True})],
)
def test_a_tool_without_memory_says_what_it_may_have_held(
    returncode: int, said: Mapping[str, Any]
) -> None:
    operation = make_operation("upload", chunk_size=5 * MIB, concurrency=4)
    _, why = _judged(_exit(returncode=returncode), operation, **said)
    assert why is not None
    assert (why.code, why.owner) == ("out_of_memory", "node")
    assert "chunk x concurrency x transfers is 5MiB x 4 x 1 = 20 MiB" in why.text


@pytest.mark.parametrize(
    ("kind", "chunk_after_s", "file_after_s", "setup_s"),
    [
        ("upload", 0.5, 0.1, 0.5),
        ("upload", None, 0.1, None),
        ("download", 0.5, 0.1, 0.5),
        ("download", None, 0.1, 0.1),
        ("download", None, None, None),
        ("download", 3.0, None, None),
        ("download", -0.2, None, None),
    ],
)
def test_setup_lasts_until_the_first_payload(
    kind: str, chunk_after_s: float | None, file_after_s: float | None, setup_s: float | None
) -> None:
    log = RcloneLog(first_chunk_at=_after(chunk_after_s), first_file_at=_after(file_after_s))
    assert tool.setup_s(log, make_operation(kind), _exit()) == setup_s


@pytest.mark.parametrize(
    ("duration_s", "late_s", "status"),
    [(2.0, 1.0, "ok"), (2.0, 1.1, "invalid"), (99.0, 1.9, "ok"), (99.0, 2.0, "invalid")],
)
@pytest.mark.parametrize(("what", "code"), [("late_s", "late"), ("stopped_s", "tool_stopped")])
def test_what_stood_still_is_no_number(
    what: str, code: str, duration_s: float, late_s: float, status: str
) -> None:
    times: dict[str, Any] = {"duration_s": duration_s, what: late_s}
    ended = replace(_exit(), **times)
    got, why = _judged(ended, make_operation())
    assert (got, why.code if why else "") == (status, code if status == "invalid" else "")


@pytest.mark.parametrize(("silent_s", "status"), [(2.0, "ok"), (2.1, "invalid")])
def test_a_tool_that_said_nothing_stood_still(silent_s: float, status: str) -> None:
    got, why = _judged(_exit(), make_operation(), silent_s=silent_s)
    assert (got, why.code if why else "") == (status, "" if status == "ok" else "tool_stopped")


def test_a_time_out_of_what_stood_still_is_not_the_targets_fault() -> None:
    ended = replace(_exit(ended="timeout"), late_s=5.0)
    status, why = _judged(ended, make_operation())
    assert why is not None
    assert (status, why.code, why.owner) == ("timeout", "late", "hps")


def test_what_a_plain_log_says_is_without_its_time() -> None:
    log = "2026/11/22 12:00:00 NOTICE: one\n2026/11/22 12:00:01 ERROR : key : gone\n"
    assert errors.last_failure(log) == errors.first_failure(log) == failure("tool_failed", "gone")
    assert errors.last_words(log) == "gone"
    log = "2026/11/22 12:00:00 NOTICE: one\n2026/11/22 12:00:01 NOTICE: two : three\n"
    assert errors.last_failure(log) == failure("tool_failed", "three")
    assert errors.first_failure(log) is None
    assert errors.last_failure("") is None
    assert errors.last_words("") == ""


def _not_as_declared(text: str) -> Failure:
    return failure("not_as_declared", text)


def _exit(*, returncode: int = 0, ended: Ended = "exit") -> Exit:
    return Exit(returncode=returncode, ended=ended, started_at=START, duration_s=2.0)


def _after(seconds: float | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)
