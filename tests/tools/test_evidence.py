"""Declared against delivered: what a log and its connections show, beside what was planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hps.process.sockets import ConnectionCounter
from hps.tools.evidence import Delivered, count_at_once
from tests.builders import MIB, make_operation

_COUNTER = ConnectionCounter(samples=9, most_with_payload=2, busiest_bytes=7 * MIB)
# 12 MiB in parts of 5 MiB, two at once.
_OPERATION = make_operation(
    "upload", tool="boto3", size=12 * MIB, chunk_size=5 * MIB, concurrency=2
)
_GOOD = Delivered(
    operation=_OPERATION,
    counter=_COUNTER,
    offers_http2=False,
    files_bytes=(12 * MIB,),
    chunks_bytes=(5 * MIB, 2 * MIB, 5 * MIB),
    peak_in_flight=2,
    shows_ends=True,
)


def test_what_was_planned_is_what_was_applied_and_seen() -> None:
    applied, seen = _GOOD.applied(), _GOOD.observed()
    assert _GOOD.explain_difference("boto3") is None
    assert applied is not None
    assert (applied.chunk_size_bytes, applied.concurrency, applied.transfers) == (5 * MIB, 2, 1)
    assert (seen.chunks, seen.chunk_size_bytes, seen.bytes) == (3, 5 * MIB, 12 * MIB)
    assert (seen.peak_in_flight, seen.connections, seen.connection_samples) == (2, 2, 9)


@pytest.mark.parametrize(
    ("peak", "connections", "shows_ends", "claimed"),
    [
        (2, 1, True, 2),
        (1, 2, True, None),
        (1, 2, False, 2),
        (2, 1, False, None),
        (0, 0, False, None),
    ],
)
def test_concurrency_is_claimed_where_it_was_reached(
    peak: int, connections: int, shows_ends: bool, claimed: int | None
) -> None:
    counter = ConnectionCounter(samples=9, most_with_payload=connections)
    seen = replace(_GOOD, counter=counter, peak_in_flight=peak, shows_ends=shows_ends)
    applied = seen.applied()
    assert applied is not None
    assert applied.concurrency == claimed
    assert applied.transfers == (None if claimed is None else 1)


def test_without_chunks_in_the_log_the_plan_stands_and_nothing_is_observed() -> None:
    silent = replace(_GOOD, chunks_bytes=None, peak_in_flight=0, shows_ends=False)
    applied, seen = silent.applied(), silent.observed()
    assert silent.explain_difference("awscrt") is None
    assert applied is not None
    assert (applied.chunk_size_bytes, seen.chunk_size_bytes, seen.chunks) == (5 * MIB, None, None)


@pytest.mark.parametrize("chunks", [(), None])
def test_no_payload_is_no_transfer(chunks: tuple[int, ...] | None) -> None:
    nothing = replace(_GOOD, files_bytes=(), chunks_bytes=chunks)
    why = nothing.explain_difference("boto3")
    assert why is not None
    assert (why.code, why.text) == ("not_as_declared", "boto3's log shows no transfer")
    assert nothing.applied() is None


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"files_bytes": ()}, "boto3 copied 0 of 1 files"),
        ({"files_bytes": (11 * MIB,)}, f"boto3 moved {11 * MIB} of {12 * MIB} bytes"),
        ({"chunks_bytes": (12 * MIB,)}, "1 chunks, not 3"),
        ({"chunks_bytes": (4 * MIB,) * 3}, f"chunks of {4 * MIB} bytes, not of {5 * MIB}"),
        ({"chunks_bytes": (6 * MIB, 5 * MIB, MIB)}, f"chunks of None bytes, not of {5 * MIB}"),
        ({"peak_in_flight": 3}, "3 chunks at once, not 2"),
    ],
)
def test_what_differs_is_invalid(changes: dict[str, object], wrong: str) -> None:
    why = replace(_GOOD, **changes).explain_difference("boto3")  # type: ignore[arg-type]
    assert why is not None
    assert (why.code, why.text) == ("not_as_declared", wrong)


@pytest.mark.parametrize(
    ("busiest_bytes", "peak", "repeats", "shared"),
    [
        (12 * MIB, 2, 0, True),
        (11 * MIB, 2, 0, True),
        (10 * MIB, 2, 0, False),
        (12 * MIB, 1, 0, False),
        (12 * MIB, 2, 1, False),
    ],
)
def test_one_connection_with_all_the_bytes_carried_all_streams(
    busiest_bytes: int, peak: int, repeats: int, shared: bool
) -> None:
    """Few looks at short connections may see but one of them; then it has a part of the bytes."""
    counter = ConnectionCounter(samples=9, most_with_payload=1, busiest_bytes=busiest_bytes)
    seen = replace(_GOOD, counter=counter, peak_in_flight=peak, repeats=repeats)
    why = seen.explain_difference("boto3")
    assert (why is not None) == shared
    assert why is None or why.text == "one connection carried 2 streams"


def test_http_2_is_one_connection_and_has_to_be_offered() -> None:
    asked = make_operation(
        "upload", tool="obstore", size=12 * MIB, chunk_size=5 * MIB, concurrency=2, http2=True
    )
    counter = ConnectionCounter(samples=9, most_with_payload=1, busiest_bytes=12 * MIB)
    for offers, wrong in ((True, None), (None, None), (False, "HTTP/2 was asked for")):
        why = replace(_GOOD, operation=asked, counter=counter, offers_http2=offers)
        failed = why.explain_difference("obstore")
        assert (failed is None) == (wrong is None)
        assert failed is None or failed.text.startswith(str(wrong))


@pytest.mark.parametrize(
    ("intervals", "most"),
    [
        ([], 0),
        ([(0.0, 1.0)], 1),
        ([(0.0, 1.0), (1.0, 2.0)], 1),
        ([(0.0, 2.0), (1.0, 3.0)], 2),
        ([(0.0, 9.0), (1.0, 2.0), (1.5, 3.0), (2.0, 2.5)], 3),
    ],
)
def test_intervals_that_overlap_are_at_once(
    intervals: list[tuple[float, float]], most: int
) -> None:
    assert count_at_once(intervals) == most


def _left(**knobs: str | int | bool) -> Delivered:
    """The same transfer, of which the tool was told only this much."""
    return replace(_GOOD, operation=make_operation("upload", tool="boto3", size=12 * MIB, **knobs))


def test_what_a_tool_was_not_told_is_known_where_it_was_seen_and_never_wrong() -> None:
    """Its documented default of 8 MiB is for plans: here it has chosen another size of chunks."""
    nothing = _left(settings="default")
    applied = nothing.applied()
    assert nothing.explain_difference("boto3") is None
    assert applied is not None
    assert (applied.chunk_size_bytes, applied.concurrency, applied.transfers) == (
        5 * MIB,
        None,
        None,
    )
    assert (applied.http2, applied.checksum) == (None, None)


def test_of_what_is_not_seen_no_default_is_claimed() -> None:
    silent = replace(_left(settings="default"), chunks_bytes=None, shows_ends=False)
    applied = silent.applied()
    assert applied is not None
    assert applied.chunk_size_bytes is None


@pytest.mark.parametrize(("peak", "wrong"), [(2, ""), (3, "3 chunks at once, not 2")])
def test_what_it_was_told_is_held_against_it_though_the_size_of_chunks_was_not(
    peak: int, wrong: str
) -> None:
    """How many chunks there are is not known, so that fewer in flight than told are right."""
    told = replace(_left(chunk_size="default", concurrency=2), peak_in_flight=peak)
    why = told.explain_difference("boto3")
    assert (why.text if why else "") == wrong
