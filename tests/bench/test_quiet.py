"""A transfer that the machine had no time for says nothing of a link."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import quiet
from bench.quiet import Look, Watch, judge
from bench.stored import Stored

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


def test_packets_that_leave_late_make_it_void() -> None:
    first, last = _look(0.0, 0.0), replace(_look(10.0, 15.0), packets=100, late_s=0.2)

    assert quiet.between(first, last).why_void == "void: packets left 2.0 ms late"
    assert quiet.between(first, replace(last, packets=1000)).why_void == ""


@pytest.mark.parametrize(("busy_tries", "done"), [(0, 1), (1, 2), (3, 3)])
def test_a_block_is_measured_again_while_the_machine_is_busy(busy_tries: int, done: int) -> None:
    watch, told, tried = Watch(), list[int](), list[int]()

    def block(attempt: int) -> list[dict[str, Any]]:
        tried.append(attempt)
        idle_s = 1.0 if attempt < busy_tries else 15.0
        watch.looks = [_look(0.0, 0.0), _look(10.0, idle_s)]
        return [_transfer()]

    (judged,) = quiet.undisturbed(block, watch, lambda: told.append(1))

    assert (tried, len(told)) == (list(range(done)), min(busy_tries, 3))
    assert judged["void"] is (busy_tries == 3)


def test_what_is_void_is_measured_again_where_it_is_to_be_published(tmp_path: Path) -> None:
    path, case = tmp_path / "stored.jsonl", {"link": 1}
    Stored(path).add({"case": case, "transfers": [{"void": False}, {"void": True}]})

    assert Stored(path).find(case) is not None
    assert Stored(path, undisturbed=True).find(case) is None
