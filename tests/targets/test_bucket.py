"""A list without an end is given up before it has taken all memory, or the whole disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.process.process import Command, Exit, Guard, run
from hps.targets.bucket import AnswerBound

_MIB = 1024**2
_TAKES_MEMORY = "held = []\nwhile True: held.append(b'x' * 2**20)"
_TAKES_DISK = "import sys\nwhile True: sys.stdout.write('x' * 2**20)"


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard() as running:
        yield running


def _run(program: str, guard: Guard, bounded: AnswerBound) -> Exit:
    return run(
        Command(argv=(sys.executable, "-c", program), env={}),
        timeout_s=60,
        guard_process=guard,
        stdout=bounded.out,
        sampler=bounded,
    )


@pytest.mark.parametrize("program", [_TAKES_MEMORY, _TAKES_DISK], ids=["memory", "disk"])
def test_a_process_that_takes_too_much_is_ended(program: str, guard: Guard, tmp_path: Path) -> None:
    bounded = AnswerBound(out=tmp_path / "out", most_bytes=200 * _MIB, interval_s=0.01)

    ended = _run(program, guard, bounded)

    assert (ended.ended, ended.returncode) == ("exit", -9)
    assert bounded.failure is not None
    assert (bounded.failure.code, bounded.failure.owner) == ("bad_answer", "target")
    assert "has no end" in bounded.failure.text


def test_one_that_takes_little_is_left_alone(guard: Guard, tmp_path: Path) -> None:
    bounded = AnswerBound(out=tmp_path / "out", interval_s=0.01)

    ended = _run("import time; time.sleep(0.3)", guard, bounded)

    assert (ended.ended, ended.returncode, bounded.failure) == ("exit", 0, None)
