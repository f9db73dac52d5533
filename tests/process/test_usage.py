"""What a process used is its own: not that of the one which started it, and not a guess."""

from __future__ import annotations

import sys
from pathlib import Path

from hps.process import process
from hps.process.usage import Usage

_MIB = 1024**2


def _ran(code: str, timeout_s: float = 30) -> process.Exit:
    with process.Guard() as guard:
        command = process.Command(argv=(sys.executable, "-I", "-S", "-c", code), env={})
        return process.run(command, timeout_s=timeout_s, guard_process=guard)


def test_the_memory_is_the_most_there_was_at_once() -> None:
    used = _ran(f"import time; a = bytearray(96 * {_MIB}); time.sleep(0.6); del a; time.sleep(0.6)")
    assert used.peak_memory_bytes is not None
    assert 96 * _MIB < used.peak_memory_bytes < 140 * _MIB


def test_a_small_process_is_not_as_large_as_the_one_that_started_it() -> None:
    ballast = bytearray(b"x") * (256 * _MIB)
    used = _ran("import time; time.sleep(0.6)")
    assert len(ballast) == 256 * _MIB
    assert used.peak_memory_bytes is not None
    assert used.peak_memory_bytes < 64 * _MIB


def test_processor_time_is_that_of_all_threads_and_of_nothing_else() -> None:
    work = "def work():\n  while time.process_time() < 0.5: pass\n"
    threads = f"import threading, time\n{work}threading.Thread(target=work).start()\nwork()"
    used, idle = _ran(threads), _ran("import time; time.sleep(0.5)")
    assert used.cpu_s is not None
    assert idle.cpu_s is not None
    assert 0.45 <= used.cpu_s < 0.9
    assert idle.cpu_s < 0.3


def test_one_that_was_stopped_at_its_time_out_has_used_something_too() -> None:
    used = _ran("while True: pass", timeout_s=0.6)
    assert used.ended == "timeout"
    assert used.cpu_s is not None
    assert used.cpu_s > 0.05


def test_where_there_is_no_proc_nothing_is_claimed(tmp_path: Path) -> None:
    usage = Usage(1, proc=tmp_path)
    usage.look()
    usage.end()
    assert (usage.cpu_s, usage.peak_memory_bytes) == (None, None)
