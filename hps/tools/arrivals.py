"""Which bytes of a running download are on the disk, by what its tool writes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Bytes `start` to `stop` of a file are on the disk; `stop` None: all of it.

    `name` is its path below the folder that is downloaded to.
    """

    name: str
    start: int = 0
    stop: int | None = None


class Arrivals(Protocol):
    """A running download, to be asked by one thread at a time."""

    @property
    def grows(self) -> bool:
        """True where each file is written from its first byte to its last, without holes."""

    def new(self) -> Iterator[Arrival]:
        """What has arrived since the last call."""

    def places(self, path: Path) -> Iterator[Path]:
        """Where the file that will be at `path` may be at this moment, the likeliest first."""


@dataclass(slots=True, kw_only=True)
class ArrivalsByLine:
    """Fits `Arrivals`: by the lines of a file that the tool is still writing, each read once.

    `read` gets a whole line; None: it says of no arrival. `partial` is the pattern of a file's name
    while it is incomplete, with `{}` for its name in the end.
    """

    path: Path
    read: Callable[[bytes], Arrival | None]
    partial: str
    grows: bool
    _offset: int = field(default=0, init=False)
    _rest: bytes = field(default=b"", init=False)

    def new(self) -> Iterator[Arrival]:
        """Nothing while there is no file of lines."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return
        self._offset += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        yield from filter(None, map(self.read, lines))

    def places(self, path: Path) -> Iterator[Path]:
        """Under its partial name, and then, where it has just been renamed, under its own."""
        yield from path.parent.glob(self.partial.format(path.name))
        yield path
