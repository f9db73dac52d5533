"""Signals set a flag; a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hps.process.stop import on_signals
from tests.command import REPOSITORY

_WAITS_FOR_EVER = """\
import time
from hps.process.stop import on_signals
with on_signals() as stop:
    print("ready", flush=True)
    while not stop.wait(0.01):
        pass
    print("stopped", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_sets_the_flag_and_names_the_exit_code(number: signal.Signals, code: int) -> None:
    with on_signals() as stop:
        assert not stop.is_set()
        assert not stop.wait(0.0)
        os.kill(os.getpid(), number)
        assert stop.wait(10.0)
        assert stop.is_set()
        assert (stop.signal, stop.exit_code) == (number, code)


def test_a_terminal_that_goes_away_may_say_so_twice() -> None:
    with on_signals() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.wait(10.0)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.exit_code == 143


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with on_signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WAITS_FOR_EVER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.stdout.readline() == "stopped\n"
            process.send_signal(number)
            assert process.wait(timeout=30) == code
        finally:
            process.kill()
