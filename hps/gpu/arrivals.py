"""What a running rclone has already written of its files, told from its log as it grows.

The lines that count (see also `hps.tools.rclone_log`), as rclone 1.70 to 1.75 writes them:

    multi-thread copy: chunk 4/20 (31457280-41943040) size 10Mi finished
    Copied (new) ; Multi-thread Copied (new)

A chunk is said to be finished once all its bytes are in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = re.compile(r"multi-thread copy: chunk \d+/\d+ \((\d+)-(\d+)\) size \S+ finished")
_FILE = re.compile(r"(?:Multi-thread )?Copied \(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Bytes `start` to `stop` of a file are on disk; `stop` None: all of it."""

    name: str
    start: int = 0
    stop: int | None = None


class LogFollower:
    """Reads a log while it is written, each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def new(self) -> Iterator[Arrival]:
        """What has arrived since the last call; nothing while there is no log."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return
        self._offset += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            yield from _arrivals(line)


def _arrivals(line: bytes) -> Iterator[Arrival]:
    # Most lines tell of something else, and reading JSON takes time from what is measured.
    if not line.startswith(b"{") or (b" finished" not in line and b"Copied (" not in line):
        return
    entry = json.loads(line)
    name, message = str(entry.get("object", "")), str(entry.get("msg", ""))
    if match := _CHUNK.match(message):
        yield Arrival(name=name, start=int(match[1]), stop=int(match[2]))
    elif _FILE.match(message):
        yield Arrival(name=name)
