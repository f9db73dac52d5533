"""Which bytes of a file have been dealt with: intervals that grow together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

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
