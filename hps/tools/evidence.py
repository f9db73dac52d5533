"""Declared against delivered: what a tool's log and its connections show, beside what was asked.

For tools whose log has requests one by one; rclone's has more, and less: see its own module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.catalog.tools import count_chunks, declared
from hps.model import Applied, Failure, Observed, Operation, Settings, Transfer
from hps.process.sockets import ConnectionCounter

# So much of the payload on one connection is all of it; some may be moved after the last look.
_ALL = 0.9
_ENOUGH_SAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one transfer's log and connections show. Sizes in bytes: of each file that is done, of
    each chunk that moved.

    `chunks_bytes` is None where the log has no chunks at all. As many as `peak_in_flight` were
    surely in flight at once; unless `shows_ends`, there may have been more, and connections count.
    `by_lines`: that is by the order of lines, of which an answer's may come after the next request.
    `offers_http2` is None where the endpoint was not asked. `repeats` is how many requests were
    sent again.
    """

    operation: Operation
    counter: ConnectionCounter
    offers_http2: bool | None
    files_bytes: tuple[int, ...]
    chunks_bytes: tuple[int, ...] | None
    peak_in_flight: int = 0
    by_lines: bool = False
    shows_ends: bool = False
    repeats: int = 0

    def applied(self) -> Applied | None:
        """The knobs as they were applied; None where no payload was seen.

        Concurrency is claimed only where as many were seen at once as were planned.
        """
        asked, planned = self.operation.requested, self.operation.effective
        if asked is None or planned is None or self._is_empty:
            return None
        told = declared(asked, planned)
        reached = self._most_in_flight == _streams(told)
        largest = max(self.chunks_bytes) if self.chunks_bytes else told.chunk_size_bytes
        return Applied(
            chunk_size_bytes=self._chunk_size_bytes or largest,
            concurrency=told.concurrency if reached else None,
            transfers=told.transfers if reached else None,
            http2=told.http2 and self.offers_http2 is not False,
            checksum=told.checksum,
        )

    def observed(self) -> Observed:
        """What was seen."""
        return Observed(
            chunks=len(self.chunks_bytes or ()) or None,
            chunk_size_bytes=self._chunk_size_bytes,
            peak_in_flight=self._most_in_flight or None,
            connections=self.counter.most_at_once,
            connection_samples=self.counter.samples,
            bytes=sum(self.files_bytes) or None,
        )

    def explain_difference(self, tool: str) -> Failure | None:
        """Why what happened is not what was asked for; None where it is."""
        asked, planned = self.operation.requested, self.operation.effective
        if asked is None or planned is None:
            return None
        if self._is_empty:
            return failure("not_as_declared", f"{tool}'s log shows no transfer")
        checks = (
            self._wrong_amount(tool),
            self._wrong_chunks(planned) if asked.chunk_size_bytes is not None else "",
            self._wrong_protocol(asked),
            self._wrong_streams(asked, planned),
        )
        reasons = "; ".join(reason for reason in checks if reason)
        return failure("not_as_declared", reasons) if reasons else None

    @property
    def _is_empty(self) -> bool:
        return not (self.files_bytes if self.chunks_bytes is None else self.chunks_bytes)

    @property
    def _most_in_flight(self) -> int | None:
        return self.peak_in_flight if self.shows_ends else self.counter.most_at_once

    @property
    def _chunk_size_bytes(self) -> int | None:
        """The size of every chunk but each file's last; None where they differ or none was seen."""
        knobs, found = self.operation.cell.knobs, self.chunks_bytes or ()
        most = max(found, default=0)
        if most == 0:
            return None
        whole, rest = divmod(knobs.size_bytes, most)
        of_each = [*[most] * whole, *([rest] if rest else [])]
        return most if sorted(of_each * knobs.files) == sorted(found) else None

    def _wrong_amount(self, tool: str) -> str:
        knobs, copied = self.operation.cell.knobs, self.files_bytes
        if len(copied) != knobs.files:
            return f"{tool} copied {len(copied)} of {knobs.files} files"
        moved, expected = sum(copied), knobs.size_bytes * knobs.files
        return f"{tool} moved {moved} of {expected} bytes" if moved != expected else ""

    def _wrong_chunks(self, asked: Transfer) -> str:
        knobs, found = self.operation.cell.knobs, self.chunks_bytes
        if found is None:
            return ""
        expected = knobs.files * count_chunks(knobs.size_bytes, asked.chunk_size_bytes)
        if len(found) != expected:
            return f"{len(found)} chunks, not {expected}"
        seen_bytes = self._chunk_size_bytes
        if seen_bytes != asked.chunk_size_bytes:
            return f"chunks of {seen_bytes} bytes, not of {asked.chunk_size_bytes}"
        return ""

    def _wrong_protocol(self, asked: Settings) -> str:
        if not asked.http2 or self.offers_http2 is not False:
            return ""
        return "HTTP/2 was asked for; the endpoint offers only HTTP/1.1"

    def _wrong_streams(self, asked: Settings, planned: Transfer) -> str:
        streams, counter = _streams(declared(asked, planned)), self.counter
        if streams and not asked.http2 and self.peak_in_flight > streams:
            return f"{self.peak_in_flight} chunks at once, not {streams}"
        if asked.http2 is not False:
            return ""
        # Of several connections each carries a part, whether all of them were seen or not. Where a
        # request is sent again, one may carry all that got through.
        knobs = self.operation.cell.knobs
        is_all = counter.busiest_bytes >= _ALL * knobs.size_bytes * knobs.files
        seen_well = counter.most_at_once == 1 and counter.samples >= _ENOUGH_SAMPLES
        surely = self.peak_in_flight > (2 if self.by_lines else 1)
        if surely and seen_well and is_all and not self.repeats:
            return f"one connection carried {self.peak_in_flight} streams"
        return ""


def _streams(told: Settings) -> int | None:
    """The most chunks in flight of all files; None where the tool was not told."""
    if told.concurrency is None or told.transfers is None:
        return None
    return told.concurrency * told.transfers


def count_at_once(intervals: Iterable[tuple[float, float]]) -> int:
    """The most intervals, each a begin and an end, that overlap in more than a point."""
    intervals = tuple(intervals)
    changes = sorted([(end, -1) for _, end in intervals] + [(begin, 1) for begin, _ in intervals])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a file that are JSON objects; a kill may have cut off the last."""
    with path.open("rb") as lines:
        yield from (entry for line in lines if (entry := entry_of(line)) is not None)


def entry_of(line: bytes) -> Mapping[str, Any] | None:
    """A line as the JSON object that it is; None for any other."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
