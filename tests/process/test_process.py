"""Processes are started in groups, timed, watched, and ended with everything that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
import pytest

from hps.errors import HpsError
from hps.process import process
from hps.process.process import Command, Guard
from tests.command import REPOSITORY

SOON_S = 20.0
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def guard() -> Iterator[Guard]:
    """A guard process of the test's own."""
    with Guard() as opened:
        yield opened


@dataclass(slots=True)
class Flag:
    """A `process.Stop` that is set by hand."""

    up: bool = False

    def is_set(self) -> bool:
        """True once it was raised."""
        return self.up


@dataclass(slots=True)
class Looks:
    """A `process.Sampler` that keeps the ids, and may do something at the first look."""

    then: Callable[[], None] = lambda: None
    interval_s: float = 0.01
    pids: list[int] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        """Keep the id."""
        self.pids.append(pid)
        self.then()


def _sh(script: str) -> Command:
    return Command(argv=("/bin/sh", "-c", script), env=ENV)


def _python(script: str) -> Command:
    return Command(argv=(sys.executable, "-c", script), env=ENV)


def _is_gone(pid: int) -> bool:
    """True once a process has ended, whether or not anybody has asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 1, 9, 255])
def test_the_exit_code_and_the_times_are_told(code: int, guard: Guard) -> None:
    before = datetime.now(UTC)
    ended = process.run(_sh(f"sleep 0.2; exit {code}"), timeout_s=30, guard_process=guard)
    assert (ended.returncode, ended.ended) == (code, "exit")
    assert before <= ended.started_at <= datetime.now(UTC)
    assert ended.duration_s >= 0.2


def test_a_signal_is_a_negative_code(guard: Guard) -> None:
    ended = process.run(_sh("kill -9 $$"), timeout_s=30, guard_process=guard)
    assert (ended.returncode, ended.ended) == (-signal.SIGKILL, "exit")


def test_output_goes_to_files_and_the_environment_is_the_whole_one(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREIGN", "1")
    out, err = tmp_path / "out", tmp_path / "err"
    script = "echo said; echo ${FOREIGN:-unset} >&2; cat"
    process.run(_sh(script), timeout_s=30, guard_process=guard, stdout=out, stderr=err)
    assert (out.read_text(), err.read_text()) == ("said\n", "unset\n")


def test_a_time_out_ends_the_whole_group(guard: Guard, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sh -c 'sleep 600 & echo $! >> {pids}; wait' & echo $! >> {pids}; wait"
    ended = process.run(_sh(script), timeout_s=1.0, guard_process=guard)
    assert (ended.ended, ended.returncode) == ("timeout", -signal.SIGTERM)
    assert ended.duration_s >= 1.0
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    _wait_until(lambda: all(map(_is_gone, started)))


def test_what_a_process_leaves_behind_is_ended_too(guard: Guard, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ended = process.run(_sh(f"sleep 600 & echo $! > {pid}"), timeout_s=30, guard_process=guard)
    assert ended.ended == "exit"
    _wait_until(lambda: _is_gone(int(pid.read_text())))


def test_a_program_that_ignores_sigterm_is_killed(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.3)
    looks = Looks()
    ended = process.run(
        _sh("trap '' TERM; while :; do sleep 0.05; done"),
        timeout_s=0.5,
        guard_process=guard,
        sampler=looks,
    )
    assert (ended.ended, ended.returncode) == ("timeout", -signal.SIGKILL)
    assert _is_gone(looks.pids[0])


@pytest.mark.parametrize("sleep_s", ["0.5", "1.5"])
def test_how_long_nobody_looked_is_known(sleep_s: str) -> None:
    """One ends while this process stands still, the other one goes on after that."""
    script = f"""
import os
from hps.process.process import Command, Guard, run
with Guard() as guard:
    command = Command(argv=("sleep", "{sleep_s}"), env=os.environ)
    print(run(command, timeout_s=60, guard_process=guard).late_s)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as running:
        runner = psutil.Process(running.pid)
        _wait_until(lambda: any("sleep" in one.name() for one in runner.children()))
        runner.suspend()
        time.sleep(1.0)
        runner.resume()
        late_s = float(running.communicate(timeout=SOON_S)[0])
    assert late_s > 0.7


def test_how_long_a_process_was_stopped_is_known(guard: Guard) -> None:
    script = "(sleep 1; kill -CONT $$) & kill -STOP $$; sleep 0.3"
    ended = process.run(_sh(script), timeout_s=30, guard_process=guard)
    free = process.run(_sh("sleep 1"), timeout_s=30, guard_process=guard)
    assert ended.returncode == 0
    assert ended.stopped_s > 0.4
    assert free.stopped_s == 0


def test_a_stop_ends_it(guard: Guard) -> None:
    flag = Flag()
    looks = Looks(then=lambda: setattr(flag, "up", True))
    ended = process.run(
        _sh("sleep 600"), timeout_s=300, guard_process=guard, stop=flag, sampler=looks
    )
    assert (ended.ended, ended.returncode) == ("stopped", -signal.SIGTERM)


def test_a_sampler_looks_at_the_process_while_it_runs(guard: Guard) -> None:
    looks = Looks()
    process.run(_sh("sleep 0.5"), timeout_s=30, guard_process=guard, sampler=looks)
    assert len(looks.pids) > 1
    assert len(set(looks.pids)) == 1


def test_the_next_look_is_due_when_the_last_one_said(guard: Guard) -> None:
    looks = Looks()
    looks.then = lambda: setattr(looks, "interval_s", 600.0)
    process.run(_sh("sleep 0.5"), timeout_s=30, guard_process=guard, sampler=looks)
    assert len(looks.pids) == 1


@pytest.mark.parametrize("missing", [OSError(38, "not implemented"), AttributeError("pidfd_open")])
def test_without_pidfds_the_end_is_seen_too(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, missing: Exception
) -> None:
    def refuse(pid: int) -> int:
        raise missing

    monkeypatch.setattr("os.pidfd_open", refuse)
    ended = process.run(_sh("sleep 0.2; exit 9"), timeout_s=30, guard_process=guard)
    assert (ended.returncode, ended.ended) == (9, "exit")
    ended = process.run(_sh("sleep 600"), timeout_s=0.3, guard_process=guard)
    assert (ended.returncode, ended.ended) == (-signal.SIGTERM, "timeout")


def test_a_sampler_that_fails_leaves_nothing_running(guard: Guard) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    looks = Looks(then=fail)
    with pytest.raises(RuntimeError, match="broken"):
        process.run(_sh("sleep 600"), timeout_s=300, guard_process=guard, sampler=looks)
    assert _is_gone(looks.pids[0])


@pytest.mark.parametrize("argv", [("/nowhere/tool",), (str(REPOSITORY / "README.md"),)])
def test_a_program_that_cannot_be_started_is_named(argv: tuple[str, ...], guard: Guard) -> None:
    with pytest.raises(HpsError) as caught:
        process.run(Command(argv=argv, env=ENV), timeout_s=1, guard_process=guard)
    assert caught.value.message.startswith(f"cannot start {argv[0]}: ")
    assert caught.value.hint == "is it installed and executable?"


def test_capture_gives_the_answer_and_the_code() -> None:
    assert process.capture(_sh("echo a; echo b >&2; exit 3"), timeout_s=30) == (3, "a\n")


def test_capture_reads_no_more_than_an_answer() -> None:
    with pytest.raises(HpsError, match="writes without end"):
        process.capture(_sh("exec yes"), timeout_s=30)


def test_capture_has_a_time_out() -> None:
    with pytest.raises(HpsError) as caught:
        process.capture(_sh("sleep 600"), timeout_s=0.2)
    assert caught.value.message == "sh -c gave no answer in 0.2 s"


def test_a_server_runs_for_the_length_of_a_block(guard: Guard, tmp_path: Path) -> None:
    script = "import os, time; os.write(2, b'pid %d\\n' % os.getpid()); time.sleep(600)"
    with process.serve(
        _python(script),
        log=tmp_path / "log",
        guard_process=guard,
        ready=lambda log: log.split()[1] if log.endswith("\n") else None,
        timeout_s=30,
    ) as pid:
        assert not _is_gone(int(pid))
    assert _is_gone(int(pid))


@pytest.mark.parametrize(
    ("script", "timeout_s", "message", "hint"),
    [
        (
            "echo one; echo no room >&2; exit 4",
            30.0,
            "sh was not ready within 30 s: it ended with code 4",
            "no room",
        ),
        ("sleep 600", 0.2, "sh was not ready within 0.2 s: it is slow", "it said nothing"),
    ],
)
def test_a_server_that_does_not_get_ready(
    script: str, timeout_s: float, message: str, hint: str, guard: Guard, tmp_path: Path
) -> None:
    with (
        pytest.raises(HpsError) as caught,
        process.serve(
            _sh(script),
            log=tmp_path / "log",
            guard_process=guard,
            ready=lambda log: None,
            timeout_s=timeout_s,
        ),
    ):
        pytest.fail("it never was ready")
    assert (caught.value.message, caught.value.hint) == (message, hint)


_PARENT = """\
import sys
from pathlib import Path
from hps.process import process
folder, told = Path(sys.argv[1]), sys.argv[2:]
(folder / "removed/deep").mkdir(parents=True)
(folder / "kept").mkdir()
with process.Guard() as guard:
    guard.send("remove", str(folder / "removed"))
    script = "sleep 600 & echo $! > $0/child.part; mv $0/child.part $0/child; " + told[0]
    process.run(
        process.Command(argv=("/bin/sh", "-c", script, str(folder)), env={"PATH": "/usr/bin:/bin"}),
        timeout_s=600,
        guard_process=guard,
    )
"""


@pytest.mark.parametrize("then", ["wait", "trap '' TERM; while :; do sleep 0.05; done"])
def test_the_guard_cleans_up_after_a_parent_that_was_killed(then: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path), then], cwd=REPOSITORY
    ) as parent:
        try:
            _wait_until((tmp_path / "child").exists)
            family = psutil.Process(parent.pid).children(recursive=True)
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
    assert len(family) >= 3  # the guard, the shell, and what it started
    _wait_until(lambda: all(_is_gone(member.pid) for member in family))
    assert not (tmp_path / "removed").exists()
    assert (tmp_path / "kept").exists()


def test_the_guard_leaves_alone_what_it_was_told_to_forget(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander:
        try:
            with Guard() as guard:
                guard.send("watch", bystander.pid)
                guard.send("forget", bystander.pid)
            assert bystander.poll() is None
            with Guard() as guard:
                guard.send("watch", bystander.pid)
            assert bystander.wait(timeout=SOON_S) == -signal.SIGTERM
        finally:
            bystander.kill()


def test_another_guard_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        folder.mkdir()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as watched:
        try:
            with Guard() as guard:
                guard.send("watch", watched.pid)
                guard.send("remove", str(folders[0]))
                _kill_guard()
                guard.send("remove", str(folders[1]))
            assert watched.wait(timeout=SOON_S) == -signal.SIGTERM
        finally:
            watched.kill()
    assert not any(folder.exists() for folder in folders)


def test_where_no_guard_can_be_had_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Guard() as guard:
        _kill_guard()
        guard.forget(1)  # there is nothing that it would have to know
        _kill_guard()
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(HpsError, match="cannot start /nowhere/python"):
            guard.send("watch", 1)


def _kill_guard() -> None:
    # The kernel shows a new program's arguments a moment after it has begun.
    _wait_until(lambda: len(_guards()) == 1)
    (own,) = _guards()
    own.kill()
    _wait_until(lambda: _is_gone(own.pid))


def _guards() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any(argument.endswith("guard.py") for argument in child.cmdline())
    ]


class _Held(Guard):
    """A guard that hears of a process only after the runner has stood still."""

    def send(self, word: Literal["watch", "forget", "remove"], value: int | str) -> None:
        if word == "watch":
            time.sleep(0.6)
        super().send(word, value)


@pytest.mark.parametrize("script", ["true", "sleep 0.1"])
def test_who_stands_still_while_a_program_is_started_is_late(script: str) -> None:
    """The program is at work by then, or has even ended."""
    command = Command(argv=("/bin/sh", "-c", script), env={"PATH": "/usr/bin:/bin"})
    with _Held() as guard:
        ended = process.run(command, timeout_s=SOON_S, guard_process=guard)
    assert ended.late_s > 0.3
    assert ended.duration_s > ended.late_s


def test_a_program_that_floods_its_output_is_ended(guard: Guard, tmp_path: Path) -> None:
    ended = process.run(
        _sh("exec yes"),
        timeout_s=60,
        guard_process=guard,
        stdout=tmp_path / "out",
        most_output_bytes=1 << 20,
    )
    assert ended.ended == "flooded"
    assert ended.duration_s < 60


@pytest.mark.parametrize("size_bytes", [0, 1, 3 << 20])
def test_a_program_reads_what_it_is_given(guard: Guard, tmp_path: Path, size_bytes: int) -> None:
    data = os.urandom(size_bytes)
    command = Command(argv=("cat",), env=ENV, stdin=data)
    ended = process.run(command, timeout_s=SOON_S, guard_process=guard, stdout=tmp_path / "out")
    assert (ended.ended, (tmp_path / "out").read_bytes()) == ("exit", data)
    assert "stdin" not in repr(command)


@pytest.mark.parametrize("script", ["exit 3", "head -c 10; exit 3", "exec <&-; exit 3"])
def test_a_program_may_leave_what_it_is_given(guard: Guard, script: str) -> None:
    command = Command(argv=("/bin/sh", "-c", script), env=ENV, stdin=bytes(3 << 20))
    ended = process.run(command, timeout_s=SOON_S, guard_process=guard)
    assert (ended.ended, ended.returncode) == ("exit", 3)
