"""How long somebody stood still, by every clock, and whether a process is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.process.process import Standstill, clocks

_STATE = "7 (a) T (b)) {} 1 7 7 0 -1"


def _looks(times: Sequence[tuple[float, ...]], folder: Path, state: str = "S") -> Standstill:
    (folder / "7").mkdir()
    (folder / "7/stat").write_text(_STATE.format(state))
    told = iter(times)
    return Standstill(7, clocks=lambda: next(told), proc=folder)


@pytest.mark.parametrize(
    ("passed_s", "late_s"),
    [
        ((0.25, 0.25, 0.25), 0.0),
        ((5.25, 5.25, 5.25), 5.0),  # stopped
        ((0.25, 5.25, 5.25), 5.0),  # suspended
        ((0.25, 0.25, 5.25), 5.0),  # paused from outside
        ((0.25, 0.25, -60.0), 0.0),  # somebody set the clock back
    ],
)
def test_every_clock_tells_of_another_sleep(
    passed_s: tuple[float, ...], late_s: float, tmp_path: Path
) -> None:
    looks = _looks([(0.0, 0.0, 0.0), passed_s], tmp_path)
    looks.add(0.25)
    assert looks.late_s == late_s


@pytest.mark.parametrize(("state", "stopped_s"), [("S", 0.0), ("T", 1.0), ("t", 1.0), ("Z", 0.0)])
def test_the_state_is_behind_the_name(state: str, stopped_s: float, tmp_path: Path) -> None:
    looks = _looks([(0.0,), (0.5,), (1.0,)], tmp_path, state)
    looks.add(0.25)
    looks.add(0.25)
    assert looks.stopped_s == stopped_s


def test_the_clocks_go_on() -> None:
    before, after = clocks(), clocks()
    assert all(then <= now for then, now in zip(before, after, strict=True))
