"""What does not agree is named: told and done, done and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hps.catalog.failures import failure
from hps.catalog.tools import effective
from hps.model import Applied, Direction, Knobs, Observed, Settings
from hps.prove.judging import OnTheWire, Trial, chunks_text, compare
from hps.prove.recorder import SeenRequest
from hps.tools.base import Evidence

_MIB = 1024**2
_SIZE, _CHUNK = 26 * _MIB, 6 * _MIB
_ASKED = Settings(chunk_size_bytes=_CHUNK, concurrency=3, transfers=1, http2=False, checksum=True)


def _trial(way: Direction = "down") -> Trial:
    knobs = Knobs(target="proof", tool="s5cmd", size_bytes=_SIZE)
    planned = effective(knobs, _ASKED, way)
    return Trial(scheme="http", way=way, knobs=knobs, asked=_ASKED, planned=planned)


def _request(number: int, **fields: Any) -> SeenRequest:
    """Three at once, one chunk after the other; the last range ends beyond the file."""
    first = number * _CHUNK
    values: dict[str, Any] = {
        "sequence": number,
        "method": "GET",
        "version": "HTTP/1.1",
        "key": "x",
        "kind": "range",
        "direction": "down",
        "query": "",
        "part_number": None,
        "range": (first, first + _CHUNK - 1),
        "body_bytes": min(_CHUNK, _SIZE - first),
        "started_s": float(number),
        "ended_s": number + 2.5,
        "client_port": 4000 + number % 3,
        "status": 206,
        "complete": True,
    }
    return SeenRequest(**(values | fields))


def _wire(**fields: Any) -> OnTheWire:
    """`fields` are those of the third request."""
    requests = tuple(_request(number, **(fields if number == 2 else {})) for number in range(5))
    return OnTheWire(requests=requests)


def _said(applied: Mapping[str, Any] | None = None, **observed: Any) -> Evidence:
    seen: dict[str, Any] = {
        "chunks": 5,
        "chunk_size_bytes": _CHUNK,
        "peak_in_flight": 3,
        "connections": 3,
        "connection_samples": 9,
        "bytes": _SIZE,
    }
    right = Applied(
        chunk_size_bytes=_CHUNK, concurrency=3, transfers=1, http2=False, checksum=False
    )
    return Evidence(
        effective=replace(right, **(applied or {})), observed=Observed(**(seen | observed))
    )


def test_what_agrees_holds() -> None:
    assert compare(_trial(), _wire(), _said()).wrong == ()


def test_what_a_tool_does_not_show_is_no_contradiction() -> None:
    silent = _said(
        {"concurrency": None}, chunks=None, chunk_size_bytes=None, bytes=None, connections=None
    )
    silent = replace(silent, retries=None, proof="sockets")
    assert compare(_trial(), _wire(), silent).wrong == ()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"body_bytes": 5 * _MIB}, "3 x 6MiB + 5MiB + 2MiB on the wire, not 4 x 6MiB + 2MiB"),
        ({"range": (0, _CHUNK - 1)}, "other ranges than those of the chunks were asked for"),
        ({"version": "HTTP/1.0"}, "HTTP/1.0 on the wire, not HTTP/1.1"),
    ],
)
def test_what_was_not_told_is_named(fields: Mapping[str, Any], why: str) -> None:
    assert why in compare(_trial(), _wire(**fields), _said()).wrong


@pytest.mark.parametrize(("lasts_s", "at_once"), [(9.0, 5), (1.5, 2), (1.0, 1)])
def test_another_number_in_flight_is_named(lasts_s: float, at_once: int) -> None:
    requests = (_request(number, ended_s=number + lasts_s) for number in range(5))
    why = f"{at_once} in flight at once on the wire, not 3"
    assert why in compare(_trial(), OnTheWire(requests=tuple(requests)), _said()).wrong


def test_http_2_that_was_offered_is_named() -> None:
    wire = replace(_wire(), refused_http2=True)
    assert compare(_trial(), wire, _said()).wrong == ("it offered HTTP/2 and was told not to",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (_said({"chunk_size_bytes": 1}), f"hps reads effective chunk 1, the wire has {_CHUNK}"),
        (_said({"concurrency": 4}), "hps reads effective concurrency 4, the wire has 3"),
        (_said(chunks=6), "hps reads chunks 6, the wire has 5"),
        (_said(chunk_size_bytes=1), f"hps reads chunk size 1, the wire has {_CHUNK}"),
        (_said(bytes=1), f"hps reads bytes 1, the wire has {_SIZE}"),
        (_said(peak_in_flight=4), "hps reads 4 in flight at once, the wire has 3"),
        (_said(connections=4), "hps reads 4 connections, the wire has 3"),
        (replace(_said(), retries=2), "hps reads retries 2, the wire has 0"),
        (replace(_said(), effective=None), "hps reads no transfer from what it says"),
        (replace(_said(), wrong=failure("not_as_declared", "odd")), "hps reads: odd"),
    ],
)
def test_what_it_says_though_it_is_not_so_is_named(said: Evidence, why: str) -> None:
    assert compare(_trial(), _wire(), said).wrong == (why,)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ((), "nothing"),
        ((4 * _MIB,), "4MiB"),
        ((2 * _MIB, 6 * _MIB, 6 * _MIB), "2 x 6MiB + 2MiB"),
        ((1, 2, 3), "3B + 2B + 1B"),
    ],
)
def test_chunks_in_words(sizes: tuple[int, ...], text: str) -> None:
    assert chunks_text(sizes) == text
