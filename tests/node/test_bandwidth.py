from __future__ import annotations

from collections.abc import Iterator

import pytest

from hps.node.bandwidth import INTERVAL_S, SteadyRate, rate_from_points

RAMP_UP = [1.0, 5.0, 20.0, 60.0]


def points(rates_mbps: list[float]) -> Iterator[tuple[float, int]]:
    """(seconds, bytes) that give these rates, one every 250 ms."""
    total = 0.0
    yield 0.0, 0
    for index, rate_mbps in enumerate(rates_mbps):
        total += rate_mbps * 1e6 / 8 * INTERVAL_S
        yield (index + 1) * INTERVAL_S, round(total)


def fed(rates_mbps: list[float]) -> SteadyRate:
    rate = SteadyRate()
    for t_s, bytes_total in points(rates_mbps):
        rate.feed(t_s, bytes_total)
    return rate


def test_the_ramp_up_does_not_count() -> None:
    rate = fed([*RAMP_UP, *[100.0] * 7])
    assert rate.steady
    assert rate.rate_mbps == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize(
    ("rates", "steady"),
    [
        ([100.0] * 9, False),
        ([100.0] * 10, True),
        ([*[100.0] * 9, 80.0], False),
        ([100.0, 100.0, 100.0, 100.0, *[97.0, 103.0, 100.0, 104.0, 96.0, 100.0, 100.0]], True),
        ([100.0] * 3 + [90.0, 110.0] * 4, False),
        ([0.0] * 12, False),
    ],
)
def test_when_it_is_steady(rates: list[float], *, steady: bool) -> None:
    assert fed(rates).steady is steady


def test_the_last_half_counts_where_it_never_is_steady() -> None:
    rates = [1.0] * 4 + [50.0, 150.0, 50.0, 150.0]
    assert rate_from_points(points(rates)).value == pytest.approx(100, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "over too soon: 0 looks"),
        ([(0.0, 0), (0.25, 10**6)], "over too soon: 2 looks"),
        (list(points([0.0] * 8)), "no bytes moved in 2 s"),
        (list(points([100.0, 100.0, *[0.0] * 6])), "the transfer stood still"),
        ([(0.0, 0), (0.5, 10), (1.0, 23)], "only 13 bytes moved"),
    ],
)
def test_what_did_not_move_is_unknown(given: list[tuple[float, int]], reason: str) -> None:
    reading = rate_from_points(given)
    assert reading.value is None
    assert reading.reason.startswith(reason)


@pytest.mark.parametrize("second", [(0.0, 5), (1.0, 4), (-1.0, 9)])
def test_points_that_cannot_be_are_refused(second: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="cannot follow"):
        rate_from_points([(0.0, 5), second])
