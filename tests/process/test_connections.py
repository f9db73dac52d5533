"""How often a running process is looked at, and what that may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from hps.process import sockets
from hps.process.sockets import (
    FREE_S,
    SHARE_OF_A_CORE,
    SHORTEST_S,
    ConnectionCounter,
    SocketBytes,
    TcpSocket,
)


@dataclass
class Clock:
    """Time, and the processor's, that move on by what each look costs and by the rests."""

    cost_s: float
    now_s: float = 1000.0
    spent_s: float = 0.0
    looks_at_s: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now_s

    def thread_time(self) -> float:
        return self.spent_s

    def look(self) -> tuple[()]:
        """Takes the place of the kernel's list of sockets."""
        self.looks_at_s.append(self.now_s)
        self.now_s += self.cost_s
        self.spent_s += self.cost_s
        return ()


def looks(monkeypatch: pytest.MonkeyPatch, *, cost_s: float, seconds: float) -> Clock:
    """A process of so many seconds, looked at whenever that is due."""
    clock = Clock(cost_s=cost_s)
    monkeypatch.setattr(sockets, "time", clock)
    counter = ConnectionCounter()
    counter._sockets = SocketBytes(pid=os.getpid(), list_sockets=clock.look)
    ends_s = clock.now_s + seconds
    while clock.now_s < ends_s:
        counter.sample(os.getpid())
        clock.now_s += counter.interval_s
    return clock


@pytest.mark.parametrize("seconds", [1.0, 10.0, 600.0])
@pytest.mark.parametrize("cost_s", [0.0002, 0.004, 0.03])
def test_looking_costs_no_more_than_its_share(
    monkeypatch: pytest.MonkeyPatch, cost_s: float, seconds: float
) -> None:
    clock = looks(monkeypatch, cost_s=cost_s, seconds=seconds)
    # Rounding, and the one look that went over it.
    assert clock.spent_s <= FREE_S + SHARE_OF_A_CORE * seconds + cost_s + 1e-6


def test_a_short_process_is_looked_at_often_though_looks_are_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = looks(monkeypatch, cost_s=0.004, seconds=0.5)
    assert len(clock.looks_at_s) == pytest.approx(0.5 / (SHORTEST_S + 0.004), abs=1)


def test_a_long_one_is_looked_at_as_often_as_its_share_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = looks(monkeypatch, cost_s=0.004, seconds=100.0)
    allowed = (FREE_S + SHARE_OF_A_CORE * 100) / 0.004
    assert len(clock.looks_at_s) == pytest.approx(allowed, abs=2)


def test_where_looks_are_cheap_nothing_slows_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = looks(monkeypatch, cost_s=0.0002, seconds=100.0)
    assert len(clock.looks_at_s) == pytest.approx(100 / (SHORTEST_S + 0.0002), abs=1)


def test_a_process_that_waits_after_its_last_byte_has_moved_for_a_shorter_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It moves for half a second, and is there for two."""
    clock, counter = Clock(cost_s=0.0), ConnectionCounter()
    monkeypatch.setattr(sockets, "time", clock)
    monkeypatch.setattr(sockets, "_socket_inodes", lambda _: frozenset({7}))

    def listed() -> tuple[TcpSocket, ...]:
        moved = int(min(clock.now_s - 1000.0, 0.5) * 1_000_000)
        return (TcpSocket(cookie=1, inode=7, acked_bytes=moved, received_bytes=0),)

    counter._sockets = SocketBytes(pid=os.getpid(), list_sockets=listed)
    assert counter.moved_s is None
    while clock.now_s < 1002.0:
        counter.sample(os.getpid())
        clock.now_s += counter.interval_s
    assert counter.moved_s == pytest.approx(0.5, abs=SHORTEST_S)


def test_payload_begins_to_move_where_one_connection_has_moved_more_than_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two connections greet each other for a second, then one of them moves more."""
    clock, counter = Clock(cost_s=0.0), ConnectionCounter()
    monkeypatch.setattr(sockets, "time", clock)
    monkeypatch.setattr(sockets, "_socket_inodes", lambda _: frozenset({7, 8}))

    def listed() -> tuple[TcpSocket, ...]:
        moved = 9_000 if clock.now_s < 1001.0 else 20_000
        return (
            TcpSocket(cookie=1, inode=7, acked_bytes=9_000, received_bytes=0),
            TcpSocket(cookie=2, inode=8, acked_bytes=0, received_bytes=moved),
        )

    counter._sockets = SocketBytes(pid=os.getpid(), list_sockets=listed)
    while clock.now_s < 1002.0:
        assert counter.first_payload_s is None or clock.now_s > 1001.0
        counter.sample(os.getpid())
        clock.now_s += counter.interval_s
    assert counter.first_payload_s == pytest.approx(1.0, abs=SHORTEST_S)
