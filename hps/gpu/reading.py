"""Filling memory from a file, with several threads where one can't keep up with a GPU's bus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor

# Below this a second thread costs more than it brings.
_LEAST_BYTES_PER_THREAD = 1024**2


def pieces(start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """`start` to `stop` in pieces of `most`; the last one may be smaller."""
    for first in range(start, stop, most):
        yield first, min(first + most, stop)


def fill(view: memoryview, descriptor: int, offset: int, pool: Executor, threads: int) -> None:
    """Read `len(view)` bytes that begin at `offset` of an open file.

    Raises `OSError`; the file being too short is one.
    """
    share = max(-(-len(view) // threads), _LEAST_BYTES_PER_THREAD)
    if share >= len(view):
        _read(view, descriptor, offset)
        return
    jobs = [
        pool.submit(_read, view[first:last], descriptor, offset + first)
        for first, last in pieces(0, len(view), share)
    ]
    for job in jobs:
        job.result()


def _read(view: memoryview, descriptor: int, offset: int) -> None:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise OSError(f"the file ends after {offset + done} bytes")
        done += count
