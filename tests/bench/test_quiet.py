"""A transfer that the machine had no time for says nothing of a link."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bench import quiet
from bench.quiet import Look, Watch, judge

_STARTED = "2026-11-22T10:00:00.000000Z"
_AT_S = 1795341600.0


def _look(at_s: float, idle_s: float, steal_s: float = 0.0) -> Look:
    return Look(at_s=_AT_S + at_s, idle_s=idle_s, steal_s=steal_s, pressed_s=None)


def _transfer(why: str = "") -> dict[str, Any]:
    return {"started_at": _STARTED, "duration_s": 10.0, "mbps": 100.0, "why": why}


@pytest.mark.parametrize(
    ("idle_s", "steal_s", "void"), [(2.6, 0.0, False), (2.4, 0.0, True), (5.0, 0.6, True)]
)
def test_what_a_busy_machine_measured_is_void(idle_s: float, steal_s: float, void: bool) -> None:
    watch = Watch(looks=[_look(0.0, 0.0), _look(10.0, idle_s, steal_s)])

    judged = judge(_transfer(), watch)

    assert judged["void"] is void
    assert judged["mbps"] == (None if void else 100.0)
    assert judged["why"].startswith("void: ") is void
    assert judged["idle_cores"] == pytest.approx(idle_s / 10)


def test_only_the_time_of_the_transfer_counts() -> None:
    watch = Watch(looks=[_look(-5.0, 0.0), _look(0.0, 0.0), _look(10.0, 10.0), _look(15.0, 10.0)])

    assert judge(_transfer("failed: it was refused"), watch)["why"] == "failed: it was refused"
    assert watch.spare(_AT_S, _AT_S + 10).idle_cores == pytest.approx(1.0)


def test_the_kernels_counts_are_read(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(f"cpu  1 2 3 {4 * ticks} {ticks} 6 7 {2 * ticks} 9 10\n")
    (tmp_path / "proc/pressure/cpu").write_text("some avg10=0.00 avg300=0.00 total=2500000\n")

    seen = quiet.look(tmp_path)
    (tmp_path / "proc/pressure/cpu").unlink()

    assert (seen.idle_s, seen.steal_s, seen.pressed_s) == (5.0, 2.0, 2.5)
    assert quiet.look(tmp_path).pressed_s is None


def _spin(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


def test_a_machine_whose_processors_are_all_taken_is_seen() -> None:
    """Twice as many processes as processors, so that none is idle whatever else runs."""
    spinning = multiprocessing.get_context("spawn")
    taken = [spinning.Process(target=_spin, args=(30.0,)) for _ in range(2 * (os.cpu_count() or 1))]
    for process in taken:
        process.start()
    try:
        time.sleep(2.0)  # until all have started
        with quiet.watching() as watch:
            start_s = time.time()
            time.sleep(3.0)
            watch.look()
    finally:
        for process in taken:
            process.kill()
            process.join()

    assert watch.spare(start_s, start_s + 3.0).why_void.startswith("void: ")
