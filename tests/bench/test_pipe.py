"""One direction of a link, without a clock: what gets through, and when."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.link.pipe import Pipe

PACKET = bytes(1000)
PACKET_S = 0.008  # at a megabit a second


def make_pipe(
    *, loss: float = 0.0, seed: str = "0-up", queue_s: float = 60.0, delay_s: float = 0.05
) -> Pipe:
    """A megabit a second."""
    return Pipe(bytes_per_s=125_000, delay_s=delay_s, queue_s=queue_s, loss=loss, seed=seed)


def lost_of(count: int, *, loss: float, seed: str) -> list[int]:
    """Which of so many packets never leave."""
    pipe = make_pipe(loss=loss, seed=seed, queue_s=1e9, delay_s=0)
    pipe.arrive([str(number).encode() for number in range(count)], 0.0)
    left = {int(packet) for packet in pipe.leave(1e9)}
    return [number for number in range(count) if number not in left]


def test_a_packet_leaves_after_its_own_time_on_the_line_and_the_delay() -> None:
    pipe = make_pipe()
    pipe.arrive([PACKET], 10.0)
    assert pipe.due_s == pytest.approx(10.058)
    assert pipe.leave(10.0579) == []
    assert pipe.leave(10.0581) == [PACKET]
    assert pipe.due_s is None


def test_packets_that_come_at_once_leave_one_after_the_other() -> None:
    pipe = make_pipe()
    pipe.arrive([PACKET] * 100, 0.0)
    for number in range(1, 101):
        assert pipe.due_s == pytest.approx(number * PACKET_S + 0.05)
        assert len(pipe.leave(number * PACKET_S + 0.0501)) == 1


def test_looking_late_makes_nothing_after_it_late() -> None:
    pipe = make_pipe()
    pipe.arrive([PACKET] * 50, 0.0)
    pipe.leave(0.3)
    pipe.arrive([PACKET] * 50, 0.3)
    before_last_s = 100 * PACKET_S + 0.05 - 0.001
    pipe.leave(before_last_s)
    assert pipe.counts()["delivered_packets"] == 99


def test_what_finds_the_queue_full_is_dropped() -> None:
    pipe = make_pipe(queue_s=10 * PACKET_S)
    pipe.arrive([PACKET] * 25, 0.0)
    counts = pipe.counts()
    assert (counts["dropped_packets"], counts["on_the_way_packets"]) == (15, 10)
    pipe.arrive([PACKET] * 25, 5 * PACKET_S)
    assert pipe.counts()["dropped_packets"] == 15 + 20


def test_the_rate_when_busy_is_that_of_packets_that_had_to_wait() -> None:
    pipe = make_pipe()
    for second in (0.0, 100.0):
        pipe.arrive([PACKET] * 11, second)
        for number in range(1, 12):
            pipe.leave(second + number * PACKET_S + 0.0500001)
    counts = pipe.counts()
    assert counts["busy_bytes"] == 20_000
    assert counts["busy_s"] == pytest.approx(20 * PACKET_S)


def test_lateness_is_counted() -> None:
    pipe = make_pipe()
    pipe.arrive([PACKET] * 2, 0.0)
    pipe.leave(0.068)
    counts = pipe.counts()
    assert counts["most_late_s"] == pytest.approx(0.010)
    assert counts["late_s"] == pytest.approx(0.012)


def test_a_reset_forgets_the_counts_and_not_the_packets() -> None:
    pipe = make_pipe()
    pipe.arrive([PACKET] * 3, 0.0)
    pipe.reset()
    counts = pipe.counts()
    assert (counts["arrived_packets"], counts["first_s"]) == (0, None)
    assert counts["on_the_way_packets"] == 3
    assert len(pipe.leave(1.0)) == 3


@pytest.mark.parametrize("loss", [0.001, 0.05, 0.5])
def test_the_share_lost_is_that_asked_for(loss: float) -> None:
    count = 40_000
    lost = len(lost_of(count, loss=loss, seed="1-up"))
    assert abs(lost - count * loss) < 4 * sqrt(count * loss * (1 - loss))


def test_the_seed_says_which_are_lost() -> None:
    lost = lost_of(5_000, loss=0.02, seed="1-up")
    assert lost == lost_of(5_000, loss=0.02, seed="1-up")
    assert lost != lost_of(5_000, loss=0.02, seed="2-up")
    assert lost != lost_of(5_000, loss=0.02, seed="1-down")


def test_which_are_lost_does_not_depend_on_when_they_come() -> None:
    pipe = make_pipe(loss=0.1, seed="1-up", queue_s=1e9)
    left = []
    for number in range(500):
        pipe.arrive([str(number).encode()], number / 7)
        left += pipe.leave(number / 7)
    left += pipe.leave(1e9)
    gone = set(range(500)) - {int(packet) for packet in left}
    assert sorted(gone) == lost_of(500, loss=0.1, seed="1-up")


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 1500), st.floats(0, 0.2)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0, 0.5),
)
def test_every_packet_is_accounted_for(arrivals: list[tuple[int, int, float]], loss: float) -> None:
    pipe = make_pipe(loss=loss, queue_s=0.1)
    now_s, out = 1.0, []
    for count, size_bytes, pause_s in arrivals:
        now_s += pause_s
        pipe.arrive([bytes(size_bytes)] * count, now_s)
        out += pipe.leave(now_s)
    counts = pipe.counts()
    kinds = ("lost", "dropped", "on_the_way", "delivered")
    assert counts["arrived_packets"] == sum(int(counts[f"{kind}_packets"] or 0) for kind in kinds)
    assert (counts["delivered_packets"], counts["delivered_bytes"]) == (
        len(out),
        sum(map(len, out)),
    )
