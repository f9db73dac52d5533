"""`bench.soak`: a short run is looked at from outside, and what grows with it is seen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.soak import table
from bench.soak.growth import Growth, growths
from bench.soak.look import (
    DAEMON,
    ENTRIES,
    FILES,
    GUARD,
    HPS,
    PRIVATE,
    PROCESSES,
    SERVER,
    THREADS,
    WHOLE,
    Name,
)
from bench.soak.run import Sample, Soaked, rounded, soak

_OPERATIONS, _EVERY = 56, 4
# Each result that is stored keeps a file, a thread and 2 MB, and leaves a file behind.
_LEAKS = """\
import os, sys, tempfile, threading

if "run" in sys.orig_argv:
    sync, kept = os.fsync, []

    def leak(descriptor):
        sync(descriptor)
        _, path = tempfile.mkstemp(prefix="left-")
        kept.append((open(path), os.urandom(2_000_000)))
        threading.Thread(target=threading.Event().wait, daemon=True).start()

    os.fsync = leak
"""
_LEAKED: list[Name] = [(HPS, PRIVATE), (HPS, FILES), (HPS, THREADS), (WHOLE, ENTRIES)]


def _found(soaked: Soaked) -> dict[Name, Growth]:
    return {growth.name: growth for growth in growths(soaked.samples)}


@pytest.mark.prove
@pytest.mark.parametrize("leaks", [False, True])
def test_a_run_is_flat_unless_it_leaks(leaks: bool, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_LEAKS if leaks else "")
    soaked = soak(_OPERATIONS, _EVERY, tmp_path, {"PYTHONPATH": str(tmp_path)})

    found = _found(soaked)
    assert soaked.operations == _OPERATIONS
    assert len(soaked.samples) <= _OPERATIONS // _EVERY
    assert {who for who, _ in found} == {HPS, GUARD, DAEMON, SERVER, WHOLE}
    assert {name: found[name].grows for name in _LEAKED} == dict.fromkeys(_LEAKED, leaks)
    assert leaks or not found[WHOLE, PROCESSES].grows
    assert (soaked.left_behind > _OPERATIONS) if leaks else (soaked.left_behind == 0)
    grown = f"{HPS}: {THREADS} grow" in table.text(soaked, list(found.values()))
    assert grown == leaks


def _samples(slope: float, noise: float, seed: int = 0) -> list[Sample]:
    """Looks at one thing of a process, every 8 operations, after a start that is not judged."""
    drawn = random.Random(seed)
    return [
        Sample(
            operations=at,
            seen={(HPS, PRIVATE): min(at, 400) / 10 + slope * at / 1000 + drawn.gauss(0, noise)},
        )
        for at in range(8, 2001, 8)
    ]


@pytest.mark.parametrize(
    ("slope", "noise", "least", "most"),
    [(0, 5, 0, 5), (1, 0.1, 0, 0), (3, 0.1, 100, 100), (5, 1, 100, 100)],
)
def test_growth_is_told_from_noise(slope: float, noise: float, least: int, most: int) -> None:
    found = [growths(_samples(slope, noise, seed))[0] for seed in range(100)]
    assert 88 <= sum(growth.low < slope < growth.high for growth in found) < 100
    assert least <= sum(growth.grows for growth in found) <= most


def test_a_straight_line_has_its_slope() -> None:
    (growth,) = growths(_samples(slope=4, noise=0))
    assert growth.slope == pytest.approx(4)
    assert growth.high - growth.low < 1e-9
    assert growth.quarters[3] - growth.quarters[2] == pytest.approx(4 / 2, rel=0.02)


@pytest.mark.parametrize(("operations", "grows"), [(4000, False), (6000, True)])
def test_memory_of_a_server_is_judged_once_it_has_settled(operations: int, grows: bool) -> None:
    looks = [
        Sample(operations=at, seen={(SERVER, PRIVATE): at / 10, (SERVER, FILES): at / 10})
        for at in range(8, operations + 1, 8)
    ]
    memory, files = growths(looks)
    assert (memory.grows, memory.judged, files.grows) == (grows, grows, True)
    text = table.text(Soaked(operations=operations, samples=tuple(looks), left_behind=0), [memory])
    assert ("grows" if grows else "too short a run") in text


@pytest.mark.parametrize("what", [PRIVATE, FILES])
@pytest.mark.parametrize(("step", "grows"), [(0.9, False), (9, True)])
def test_one_step_is_no_growth(what: str, step: float, grows: bool) -> None:
    """An allocator takes memory in steps, and a look may see one file more than the last."""
    looks = [
        Sample(operations=at, seen={(HPS, what): at / 1000 + (step if at > 40 else 0)})
        for at in range(4, 57, 4)
    ]
    (growth,) = growths(looks)
    assert growth.low > 2
    assert growth.grows == grows


def test_too_few_looks_are_not_judged() -> None:
    with pytest.raises(ValueError, match="too few"):
        growths(_samples(1, 0)[:11])


@pytest.mark.parametrize(("asked", "done"), [(96, 96), (97, 104), (2000, 2000)])
def test_repetitions_are_whole(asked: int, done: int) -> None:
    assert rounded(asked) == done
