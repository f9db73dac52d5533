"""The local journal: one JSON object a line, on the disk before the next operation starts."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

from hps.errors import HpsError, NotStoredError

_BLOCK_BYTES = 64 * 1024


class Journal:
    """An append-only file. Each line is written whole, flushed and synced.

    A last line that a kill cut off is taken away; a file that stays empty, too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
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
        if key in kept and record.get("status") == "interrupted":
            continue
        kept.pop(key, None)
        kept[key] = record
    return list(kept.values())


def read(path: Path) -> Iterator[dict[str, object]]:
    """The records of a journal; a last line that a kill cut off is passed over.

    Raises `HpsError` naming file and line where any other line is not a JSON object.
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise HpsError(f"{path}:{number}: not JSON", "is this a file of results?") from error
        if not isinstance(record, dict):
            raise HpsError(f"{path}:{number}: not a JSON object", "is this a file of results?")
        yield record
