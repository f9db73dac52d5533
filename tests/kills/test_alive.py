"""A run that is at work says so to every process of the machine, and to nobody afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from hps.errors import HpsError
from hps.results import lock

RUN = "20261122T101530123Z-5f3a9c"
_TELL = """\
import sys
from hps.results import lock
with lock.announced(sys.argv[1]):
    print("told", flush=True)
    sys.stdin.read()
"""


def test_it_is_told_until_the_process_is_killed() -> None:
    command = [sys.executable, "-c", _TELL, RUN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"told\n"
        assert lock.is_alive(RUN)
        assert not lock.is_alive(f"{RUN[:-1]}d")
        other.kill()
        other.wait(60)

    assert not lock.is_alive(RUN)


def test_one_run_is_not_at_work_twice() -> None:
    with (
        lock.announced(RUN),
        pytest.raises(HpsError, match=f"run {RUN} is at work on this machine"),
        lock.announced(RUN),
    ):
        pass

    assert not lock.is_alive(RUN)


def test_looking_takes_no_name_from_a_run_that_begins() -> None:
    """Or else a run that began at that moment would be at work, and nobody could tell."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            lock.is_alive(RUN)

    looks = threading.Thread(target=look)
    looks.start()
    try:
        for _ in range(5_000):
            with lock.announced(RUN):
                pass
    finally:
        over.set()
        looks.join(60)
