"""The links that `bench.settings` measures, and the settings that it tries on each."""

from __future__ import annotations

from itertools import product

import pytest

from bench import grid
from bench.settings import cases
from bench.settings.cases import Setting

GRID = cases.whole_grid()


def test_the_grid_is_every_link_with_both_kinds_of_congestion_control() -> None:
    links = [case.link for case in GRID if not case.tls]
    wanted = product(grid.RTTS_MS, grid.RATES_MBPS, grid.LOSSES_PERCENT, ("cubic", "bbr"))
    assert len(links) == len(set(links)) == 48
    assert set(links) == {grid.make(*one) for one in wanted}


def test_https_is_tried_at_every_distance_and_with_loss_at_the_near_ones() -> None:
    links = [case.link for case in GRID if case.tls]
    assert [(1000 * link.rtt_s, 100 * link.loss) for link in links] == [
        (10, 0), (10, 0.1), (80, 0), (80, 0.1), (150, 0), (250, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("case", GRID, ids=lambda case: case.name)
def test_a_file_has_a_chunk_for_each_stream(case: cases.Case) -> None:
    assert case.declared in case.settings
    for one in case.settings:
        assert one.streams * one.chunk_bytes <= case.size_bytes


def test_names_are_told_apart() -> None:
    assert len({case.machine_id for case in GRID}) == len(GRID)


def test_http2_has_all_streams_in_one_connection() -> None:
    one = Setting(chunk_bytes=5 * cases.MIB, streams=10)
    folded = Setting(chunk_bytes=5 * cases.MIB, streams=10, http2=True)
    assert (one.connections["up"], folded.connections["up"]) == (10, 1)
