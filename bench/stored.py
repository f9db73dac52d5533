"""Measured cases in a file, one JSON object a line, so that a benchmark can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]


class Stored:
    """The entries of a file; an entry's `case` says what was measured, and counts once.

    `undisturbed`: one that a busy machine measured is not found again, see `bench.quiet`.
    """

    def __init__(self, path: Path, *, fresh: bool = False, undisturbed: bool = False) -> None:
        self._path, self._undisturbed = path, undisturbed
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        self._entries = {_key(entry["case"]): entry for entry in _read(path)}

    def find(self, case: Entry) -> Entry | None:
        """What is stored of a case."""
        entry = self._entries.get(_key(case))
        return None if entry and self._undisturbed and is_void(entry) else entry

    def add(self, entry: Entry) -> None:
        """Keep it, on disk before anything else is done."""
        before = self._path.read_bytes() if self._path.exists() else b""
        torn = bool(before) and not before.endswith(b"\n")  # a kill cut the last line off
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" * torn + json.dumps(entry, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._entries[_key(entry["case"])] = json.loads(json.dumps(entry))


def is_void(entry: Entry) -> bool:
    """True where the whole, or one of its transfers, says that the machine was busy."""
    return bool(entry.get("void")) or any(one.get("void") for one in entry.get("transfers", ()))


def _key(case: Entry) -> str:
    """130 Mbps are 130.0 Mbps."""
    return json.dumps(json.loads(json.dumps(case), parse_int=float), sort_keys=True)


def _read(path: Path) -> list[Entry]:
    """What a cut-off last line held is measured again."""
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
