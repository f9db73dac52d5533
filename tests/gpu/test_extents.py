"""Intervals that grow together: compared with a plain set of positions."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hps.gpu.following import Extents

_INTERVALS = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.lists(_INTERVALS, max_size=12), _INTERVALS)
def test_extents_hold_what_a_set_of_positions_would(
    added: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    extents, positions = Extents(), set[int]()
    for start, stop in added:
        extents.add(start, stop)
        positions |= set(range(start, stop))

    assert extents.size_bytes == len(positions)
    missing = [at for start, stop in extents.gaps(*asked) for at in range(start, stop)]
    assert missing == sorted(set(range(*asked)) - positions)
    intervals = list(extents)
    assert all(a[1] < b[0] for a, b in pairwise(intervals))
