"""The file that a run stores its results in: one JSON object a line, synced before the next."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import get_args

from hps.errors import NotStoredError
from hps.model import Status
from hps.results.lock import is_at
from hps.results.record import Record
from hps.run_folder import is_run_id

# -------------------------------------------------------------------------------------------------
# Stored lines as they are read: those that `hps` may have written, and why others are passed over.
#
# A journal may come from a bucket or a folder that others can write to. Every field that is used
# later is checked for its type here, and nowhere else.

_DEEPEST = 12
_LARGEST = 2.0**63
_SHOWN = 3
# `hps` writes without escapes; an escape may be half a surrogate pair, which has no UTF-8.
_ESCAPE = b"\\u"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The good lines of a file; `bad` says by number, from 1, why a line is passed over."""

    records: tuple[Record, ...]
    bad: Mapping[int, str]

    @property
    def remark(self) -> str:
        return remark(self.bad)


def remark(bad: Mapping[int, str]) -> str:
    """What was passed over, for people: the first few lines with the reasons; empty: nothing."""
    first = [f"line {number} {why}" for number, why in list(bad.items())[:_SHOWN]]
    more = len(bad) - _SHOWN
    return "; ".join([*first, f"and {more} more"] if more > 0 else first)


def read(path: Path) -> Lines:
    """The lines of a journal, all at once. Raises `OSError`.

    A last line that a kill cut off is passed over and not in `bad`.
    """
    bad: dict[int, str] = {}
    return Lines(records=tuple(each(path, bad)), bad=bad)


def each(path: Path, bad: dict[int, str] | None = None) -> Iterator[Record]:
    """The lines of a journal one by one. Raises `OSError`, which names the file.

    `bad`, where it is given, is filled with why other lines are passed over, by their number.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.endswith(b"\n"):
                    return
                record = parsed(line)
                if not isinstance(record, str):
                    yield record
                elif bad is not None:
                    bad[number] = record
    except OSError as error:
        error.filename = error.filename or str(path)  # a read that fails does not say of what
        raise


def parsed(line: bytes) -> Record | str:
    """The record of a line, or as text why it is none that hps has written."""
    try:
        record = json.loads(line)
        if _ESCAPE in line:
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "is not JSON"
    return record if not (why := why_bad(record)) and isinstance(record, dict) else why


def why_bad(record: object) -> str:
    """Why this is no record that hps writes, such as `lacks run_id`; empty: it may be one."""
    if not isinstance(record, dict):
        return "is not a JSON object"
    fields = _FIELDS.get(str(record.get("kind")))
    if fields is None:
        return "is neither a run nor a result"
    # Other fields are not used, but must be such that they can be written again.
    if not _is_plain(record, _DEEPEST):
        return "holds what no result does"
    for name, fits in fields.items():
        if name not in record:
            return f"lacks {name}"
        if not fits(record[name]):
            return f"has no {name} that can be"
    known = {name: fits for name, fits in _WHERE_KNOWN.items() if name in record}
    wrong = (name for name, fits in known.items() if not fits(record[name]))
    return next((f"has no {name} that can be" for name in wrong), "")


def _is_plain(value: object, deepest: int) -> bool:
    """True where no value is deeper than in any record, or a number that JSON does not have."""
    if isinstance(value, float | int):
        return -_LARGEST < value < _LARGEST
    if isinstance(value, dict | list):
        below = value.values() if isinstance(value, dict) else value
        return deepest > 0 and all(_is_plain(one, deepest - 1) for one in below)
    return True


def _text(value: object) -> bool:
    return isinstance(value, str)


def _count(value: object) -> bool:
    return type(value) is int and value >= 0


def _number(value: object) -> bool:
    return type(value) in {int, float}


def _number_or_none(value: object) -> bool:
    return value is None or _number(value)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _mapping_or_none(value: object) -> bool:
    return value is None or _mapping(value)


def _cell(value: object) -> bool:
    return isinstance(value, dict) and all(type(v) in {str, int, bool} for v in value.values())


def _merged(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and _cell(one.get("cell"))
        and _cell(one.get("same_as"))
        and _count(one.get("step_index"))
        and _text(one.get("step"))
        and _text(one.get("reason"))
        for one in value
    )


def _cells(value: object) -> bool:
    return isinstance(value, list) and all(map(_cell, value))


def _targets(value: object) -> bool:
    return isinstance(value, dict) and all(map(_mapping, value.values()))


_Fits = Mapping[str, Callable[[object], bool]]
_OF_ALL: _Fits = {
    "run_id": lambda value: isinstance(value, str) and is_run_id(value),
    **dict.fromkeys(("machine_id", "experiment", "spec_sha256", "started_at"), _text),
}
_OF_A_RESULT: _Fits = {
    **dict.fromkeys(("operation_id", "step", "reason"), _text),
    **dict.fromkeys(("step_index", "repetition"), _count),
    "retries": lambda value: value is None or _count(value),
    "warmup": lambda value: isinstance(value, bool),
    "status": lambda value: value in get_args(Status),
    "cell": _cell,
    "duration_s": _number,
    "throughput_mbps": _number_or_none,
    "effective": _mapping_or_none,
    "observed": _mapping_or_none,
}
_FIELDS: Mapping[str, _Fits] = {
    "run": _OF_ALL,
    "resume": _OF_ALL,
    "result": {**_OF_ALL, **_OF_A_RESULT},
}
# A run that never began lacks these, so they are checked only where present.
_WHERE_KNOWN: _Fits = {
    "operations": _count,
    "cells": _cells,
    "merged": _merged,
    "targets": _targets,
    "verdict": _mapping,
}


# -------------------------------------------------------------------------------------------------
# A journal as it is written, and the last result of each operation in it.

# The suffix of a journal that is being restored, until it is whole.
PUT_BACK = ".restored"
_BLOCK_BYTES = 64 * 1024


class Journal:
    """An append-only file; each line is written whole and synced.

    On opening, a last line that a kill cut off is removed; on closing, a file that stayed empty.
    Raises `NotStoredError` where the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = _opened(path)
            _cut_torn_line(self._descriptor)
        except OSError as error:
            raise NotStoredError(
                f"cannot write results to {path}: {error.strerror}",
                "name a folder that can be written with --output",
            ) from error

    def append(self, record: Mapping[str, object]) -> None:
        """Store one record for good. Raises `NotStoredError`, for example on a full disk."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise NotStoredError(
                f"cannot write results to {self.path}: {error.strerror}", "is the disk full?"
            ) from error

    def keep(self) -> bool:
        """Restore the file where somebody has moved or removed it, and append to that one.

        Returns True where that was needed. Raises `NotStoredError`.
        """
        try:
            if is_at(self._descriptor, self.path):
                return False
            new = _opened(self.path.with_suffix(PUT_BACK))
            _copy(self._descriptor, new)
            self.path.with_suffix(PUT_BACK).replace(self.path)
        except OSError as error:
            raise NotStoredError(
                f"{self.path} was removed, and can't be put back: {error.strerror}",
                "leave the folder of results alone while a run is at work",
            ) from error
        os.close(self._descriptor)
        self._descriptor = new
        return True

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        found = os.fstat(self._descriptor)
        os.close(self._descriptor)
        if found.st_size == 0 and stat.S_ISREG(found.st_mode):  # and no device
            with contextlib.suppress(OSError):  # a disk that has become read-only keeps it
                self.path.unlink()


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _copy(source: int, sink: int) -> None:
    """Copy all of one file in place of another's content; it is on the disk on return."""
    os.ftruncate(sink, 0)
    copied_bytes = 0
    while block := os.pread(source, _BLOCK_BYTES, copied_bytes):
        copied_bytes += os.write(sink, block)
    os.fsync(sink)


def _cut_torn_line(descriptor: int) -> None:
    size_bytes = os.fstat(descriptor).st_size
    whole_bytes = size_bytes
    while whole_bytes:
        start = max(0, whole_bytes - _BLOCK_BYTES)
        found = os.pread(descriptor, whole_bytes - start, start).rfind(b"\n")
        whole_bytes = start + found + 1
        if found >= 0:
            break
    if whole_bytes != size_bytes:
        os.ftruncate(descriptor, whole_bytes)


def latest(records: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The records of one run with a single result per operation, in the order they came in.

    The last one counts, but `interrupted` never replaces what came to an end.
    """
    kept: dict[object, Mapping[str, object]] = {}
    for number, record in enumerate(records):
        operation_id = record.get("operation_id")
        key = operation_id if isinstance(operation_id, str) else number
        before = kept.get(key, record).get("status")
        if record.get("status") == "interrupted" != before:
            continue
        kept.pop(key, None)
        kept[key] = record
    return list(kept.values())


@dataclass(frozen=True, slots=True)
class LatestRecords:
    """The `latest` records of a journal. Each pass reads the file anew, one record at a time."""

    path: Path
    kept: frozenset[object]

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        return (record for number, record in enumerate(each(self.path)) if number in self.kept)


def read_latest(path: Path) -> LatestRecords:
    """`latest` of a journal, without its lines that hps did not write. Raises `OSError`."""
    numbered = (
        {"operation_id": record.get("operation_id"), "status": record.get("status"), "at": number}
        for number, record in enumerate(each(path))
    )
    kept = frozenset(record["at"] for record in latest(numbered))
    return LatestRecords(path=path, kept=kept)
