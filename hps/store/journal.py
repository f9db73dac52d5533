"""The local journal: one JSON object a line, on the disk before the next operation starts."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hps.errors import NotStoredError
from hps.store import lines
from hps.store.lock import is_at

# A journal that is not yet whole, beside its place.
PUT_BACK = ".restored"
_BLOCK_BYTES = 64 * 1024
_TOLD_APART_BY = ("operation_id", "status")


class Journal:
    """An append-only file. Each line is written whole, flushed and synced.

    A last line that a kill cut off is taken away; a file that stays empty, too.
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
        """Put the file back where somebody has moved or removed it, and go on there.

        True where that was needed. Raises `NotStoredError`.
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
    """All of one file in place of the other; on the disk when this returns."""
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


def settled(records: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
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
class Settled:
    """The `settled` records of a journal, read from the disk each time: never all at once."""

    path: Path
    kept: frozenset[object]

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        return (
            record for number, record in enumerate(lines.each(self.path)) if number in self.kept
        )


def read_settled(path: Path) -> Settled:
    """Lines that are none of ours are passed over. Raises `OSError`, now or later."""
    names = ({name: record.get(name) for name in _TOLD_APART_BY} for record in lines.each(path))
    kept = frozenset(record["number"] for record in settled(_numbered(names)))
    return Settled(path=path, kept=kept)


def _numbered(records: Iterable[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    return ({**record, "number": number} for number, record in enumerate(records))
