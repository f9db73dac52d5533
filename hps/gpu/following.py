"""Copying files to the device while a tool still downloads them.

What the tool says is complete is copied at once, and a file that is written from its first byte to
its last as it grows. The rest is copied once the download is over.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from hps.gpu.ring import READERS, Copier
from hps.tools.arrivals import Arrivals

# -------------------------------------------------------------------------------------------------
# Which bytes of a file have been dealt with: intervals that grow together. Pure.

Interval = tuple[int, int]


class Extents:
    """A set of byte positions, kept as few intervals (start, stop) in order."""

    def __init__(self) -> None:
        self._intervals: list[Interval] = []

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._intervals)

    @property
    def size_bytes(self) -> int:
        """How many positions there are."""
        return sum(stop - start for start, stop in self._intervals)

    def gaps(self, start: int, stop: int) -> list[Interval]:
        """What is missing between `start` and `stop`."""
        missing, at = [], start
        for first, last in self._intervals:
            if first >= stop:
                break
            if first > at:
                missing.append((at, first))
            at = max(at, last)
        return [*missing, (at, stop)] if at < stop else missing

    def add(self, start: int, stop: int) -> None:
        """Take in everything from `start` to `stop`."""
        apart = [one for one in self._intervals if one[1] < start or one[0] > stop]
        near = [one for one in self._intervals if not (one[1] < start or one[0] > stop)]
        merged = min([start, *(one[0] for one in near)]), max([stop, *(one[1] for one in near)])
        self._intervals = sorted([*apart, merged])


# -------------------------------------------------------------------------------------------------

_POLL_S = 0.005
# Looking at the size of every file, again and again, is for a few of them.
_MOST_GROWING_FILES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The files of a download: `size_bytes` each, below `folder`, on the device one by one."""

    folder: Path
    names: tuple[str, ...]
    size_bytes: int
    memory: Any = field(repr=False)


class Follower:
    """Copies what has arrived. Its methods are for one thread at a time."""

    def __init__(
        self, incoming: Incoming, arrivals: Arrivals, copier: Copier, check: Callable[[], None]
    ) -> None:
        self._incoming, self._copier, self._check = incoming, copier, check
        self._arrivals = arrivals
        self._numbers = {name: number for number, name in enumerate(incoming.names)}
        self._copied = {name: Extents() for name in incoming.names}
        few = len(incoming.names) <= _MOST_GROWING_FILES
        self._growing = incoming.names if arrivals.grows and few else ()

    @property
    def copied_bytes(self) -> int:
        """How many bytes have been copied, or are just being copied."""
        return sum(extents.size_bytes for extents in self._copied.values())

    def follow(self, over: threading.Event) -> None:
        """Copy what arrives until the download is `over`.

        Raises `OSError` and `RuntimeError` as `Copier.copy` does, and what `check` raises.
        """
        while not over.wait(_POLL_S):
            for arrival in self._arrivals.new():
                if arrival.name in self._numbers:
                    self._copy(arrival.name, arrival.start, arrival.stop)
            for name in self._growing:
                self._copy_grown(name)

    def finish(self) -> None:
        """Copy what is left of files that are complete, and wait for the last byte.

        Raises `OSError` for a file that is missing or not as long as it has to be.
        """
        for name in self._incoming.names:
            path = self._incoming.folder / name
            found_bytes = path.stat().st_size
            if found_bytes != self._incoming.size_bytes:
                raise OSError(f"{name} has {found_bytes} bytes, not {self._incoming.size_bytes}")
            self._copy(name, 0, None, threads=READERS)
        self._copier.drain()

    def _copy(self, name: str, start: int, stop: int | None, *, threads: int = 1) -> None:
        size_bytes = self._incoming.size_bytes
        gaps = self._copied[name].gaps(start, min(stop or size_bytes, size_bytes))
        if not gaps:
            return
        base = self._numbers[name] * size_bytes
        with self._open(name) as stream:
            for first, last in gaps:
                into = self._incoming.memory[base + first : base + last]
                self._copier.copy(stream.fileno(), first, into, self._check, threads=threads)
                self._copied[name].add(first, last)

    def _copy_grown(self, name: str) -> None:
        try:
            with self._open(name) as stream:
                grown_bytes = stream.seek(0, 2)
        except FileNotFoundError:
            return  # not begun yet
        if grown_bytes:
            self._copy(name, 0, grown_bytes)

    def _open(self, name: str) -> BinaryIO:
        """The file under the name that it has now. Raises `FileNotFoundError`."""
        path = self._incoming.folder / name
        for place in self._arrivals.places(path):
            try:
                return place.open("rb", buffering=0)
            except FileNotFoundError:
                continue  # it has just been renamed, or has not been begun
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
