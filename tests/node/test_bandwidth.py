from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hps.node.bandwidth import INTERVAL_S, SteadyRate, rate_from_points, watch_rate
from hps.node.reading import Reading, Unknown

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


class Link:
    """A link of `mbps`, with its own time: nobody waits."""

    def __init__(self, mbps: float, ends_s: float = 1e9) -> None:
        self.mbps, self.ends_s, self.now_s = mbps, ends_s, 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def watch(
        self, duration_s: float, counter: Callable[[], int | Unknown] | None = None
    ) -> Reading:
        return watch_rate(
            counter or (lambda: round(self.mbps * 1e6 / 8 * self.now_s)),
            running=lambda: self.now_s < self.ends_s,
            duration_s=duration_s,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )


def test_watching_stops_once_it_is_steady() -> None:
    link = Link(30.0)
    assert link.watch(60.0).value == pytest.approx(30.0, rel=1e-4)
    assert link.now_s == pytest.approx(10 * INTERVAL_S)


def test_watching_stops_when_time_is_over() -> None:
    link = Link(30.0)
    assert link.watch(1.0).value == pytest.approx(30.0, rel=1e-4)
    assert link.now_s == pytest.approx(1.0)


def test_watching_stops_with_the_transfer() -> None:
    link = Link(30.0, ends_s=0.3)
    assert link.watch(60.0).reason.startswith("over too soon")
    assert link.now_s < 1


def test_a_counter_that_cannot_be_read_gives_the_reason() -> None:
    reading = Link(30.0).watch(60.0, lambda: Unknown(reason="needs Linux"))
    assert reading == Reading(value=None, reason="needs Linux")
