"""The only place that starts processes: each in its own group, with a time-out, and always ended.

A measured process is waited for through its pidfd, so that its wall time is exact, and its TCP
connections are counted from outside while it runs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, Protocol

from hps.errors import GuardError, HpsError, MachineError, MissingProgramError
from hps.process import guard
from hps.process.usage import Usage

# -------------------------------------------------------------------------------------------------
# Waiting for the end of a process, through its pidfd.

_STEP_S = 0.01


class Child(Protocol):
    """A process that this one has started, such as a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code, None while it runs."""


@contextlib.contextmanager
def exit_waiter(process: Child) -> Iterator[Callable[[float], bool]]:
    """A function that waits up to so many seconds; True once the process has ended.

    It is not waited for yet, so that what it used can still be read.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        # Not Linux, a kernel before 5.3, or a sandbox that refuses: wait in short steps.
        yield lambda seconds: _ended_within(process, seconds)
        return
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            yield lambda seconds: _has_ended(process, selector, seconds)
    finally:
        os.close(descriptor)


def _has_ended(process: Child, selector: selectors.BaseSelector, seconds: float) -> bool:
    selector.select(seconds)
    # Asked in any case: after a stop (SIGSTOP) `select` returns nothing, whatever has ended.
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended is not None


def _ended_within(process: Child, seconds: float) -> bool:
    ends_s = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= ends_s:
            return False
        time.sleep(_STEP_S)
    return True


# -------------------------------------------------------------------------------------------------
# Standing still: a process that was stopped or frozen, or a machine that slept, moves nothing.
#
# A process that waits in short steps sees it afterwards: a step took much longer than it should.

_STOPPED = frozenset("Tt")  # by a signal, by a debugger
_CLOCKS = tuple(
    getattr(time, name)
    for name in ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME")
    if hasattr(time, name)
)


def clocks() -> tuple[float, ...]:
    """Seconds by each clock that shows another kind of sleep.

    While a machine is suspended the first clock stands. A machine that was paused or moved from
    outside may see it by the time of day alone, which is set once it is resumed.
    """
    return tuple(map(time.clock_gettime, _CLOCKS))


@dataclass(slots=True)
class Standstill:
    """For how long this process, or its child, stood still: by looks, each due after some time.

    `late_s` is the longest time by which a look came late, `stopped_s` for how long, in all, the
    child was seen stopped. `before` are the clocks at the beginning; None: it begins now.
    """

    pid: int
    late_s: float = 0.0
    stopped_s: float = 0.0
    clocks: Callable[[], tuple[float, ...]] = clocks
    proc: Path = Path("/proc")
    before: tuple[float, ...] | None = None
    _at: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._at = self.before or self.clocks()

    def add(self, due_s: float) -> None:
        """Look once more; this was due `due_s` after the last look."""
        before, self._at = self._at, self.clocks()
        passed_s = [now - then for then, now in zip(before, self._at, strict=True)]
        self.late_s = max(self.late_s, *(passed - due_s for passed in passed_s))
        self.stopped_s += passed_s[0] if self._is_stopped() else 0.0

    def _is_stopped(self) -> bool:
        try:
            stat = (self.proc / str(self.pid) / "stat").read_text(errors="replace")
        except OSError:
            return False
        return stat.rpartition(") ")[2][:1] in _STOPPED


# -------------------------------------------------------------------------------------------------

_MOST_ANSWER_BYTES = 1 << 16
TERMINATE_GRACE_S = 3.0
KILL_GRACE_S = 5.0
_STOP_INTERVAL_S = 0.25
# What the guard's Python needs of the environment: where its own library is.
_OF_PYTHON = ("LD_LIBRARY_PATH",)
# `flooded`: the process wrote more than a log can have.
Ended = Literal["exit", "timeout", "stopped", "flooded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program's arguments and its whole environment, which may hold secrets and is not shown.

    So may `stdin`, which goes through a pipe and no file; `run` alone sends it.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended. `duration_s` runs from before its start to its end.

    `late_s` is for how long hps stood still meanwhile: if the end came then, it was seen late by
    that. `stopped_s` is for how long the process itself was seen stopped. `cpu_s` and
    `peak_memory_bytes` are what it used, see `Usage`.
    """

    returncode: int
    ended: Ended
    started_at: datetime
    duration_s: float
    late_s: float = 0.0
    stopped_s: float = 0.0
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None


class Stop(Protocol):
    """Polled while a process runs."""

    def is_set(self) -> bool:
        """True once the process should be stopped."""


class Sampler(Protocol):
    """Looks at a running process from outside, every `interval_s`."""

    interval_s: float

    def sample(self, pid: int) -> None:
        """Look once; must be quick, since it runs beside the measured work."""


class Guard:
    """The guard process, with which is registered what to end and remove should this one die."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # targets are checked side by side
        self._sent: dict[tuple[str, int | str], None] = {}
        self._start()

    def send(self, word: Literal["watch", "forget", "remove"], value: int | str) -> None:
        """Send one line. Raises `HpsError` where the guard is gone, and another doesn't start."""
        with self._lock:
            self._sent[word, value] = None
            if word == "forget":
                self._sent = {line: None for line in self._sent if line[1] != value}
            try:
                self._write([(word, value)])
            except BrokenPipeError:  # it was killed: another one is sent everything
                self.close()
                self._start()

    def forget(self, pid: int) -> None:
        """Send that a process has ended; nothing is raised where the guard is gone."""
        with contextlib.suppress(HpsError):
            self.send("forget", pid)

    def _start(self) -> None:
        env = {name: os.environ[name] for name in _OF_PYTHON if name in os.environ}
        command = Command(argv=(sys.executable, "-I", "-S", guard.__file__), env=env)
        self._process = _spawn(command, subprocess.DEVNULL, subprocess.DEVNULL, subprocess.PIPE)
        try:
            self._write(self._sent)
        except BrokenPipeError as error:
            raise GuardError("the guard process has ended", "was it killed by hand?") from error

    def _write(self, messages: Iterable[tuple[str, int | str]]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was opened with a pipe
        lines = (json.dumps({word: value}).encode() + b"\n" for word, value in messages)
        self._process.stdin.write(b"".join(lines))
        self._process.stdin.flush()

    def close(self) -> None:
        """Let the guard clean up what is registered with it, and wait for it."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened with a pipe
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=guard.GRACE_S + KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=KILL_GRACE_S)

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(
    command: Command,
    *,
    timeout_s: float,
    guard_process: Guard,
    stdout: Path | None = None,
    stderr: Path | None = None,
    stop: Stop | None = None,
    sampler: Sampler | None = None,
    most_output_bytes: float = math.inf,
) -> Exit:
    """Run to the end, or stop the whole group at the time-out or when `stop` is set.

    Output goes to the files given, else nowhere: reading a pipe would cost the measured process.
    One that writes more than `most_output_bytes` is stopped, too.
    Raises `HpsError` where it can't be started or a file can't be written.
    """
    with _output(stdout) as out, _output(stderr) as err, _input(command.stdin) as given:
        started_at, start_s, before = datetime.now(UTC), time.monotonic(), clocks()
        with _guarded(command, out, err, guard_process, given) as process:
            standstill = Standstill(process.pid, before=before)  # may be stopped as it starts
            flood, usage = _Flood((out, err), most_output_bytes), Usage(process.pid)
            ended = _wait(process, standstill, usage, start_s + timeout_s, stop, sampler, flood)
            duration_s = time.monotonic() - start_s
            usage.end()
    return Exit(
        returncode=process.returncode,
        ended=ended,
        started_at=started_at,
        duration_s=duration_s,
        late_s=standstill.late_s,
        stopped_s=standstill.stopped_s,
        cpu_s=usage.cpu_s,
        peak_memory_bytes=usage.peak_memory_bytes,
    )


@contextlib.contextmanager
def serve(
    command: Command,
    *,
    log: Path,
    guard_process: Guard,
    ready: Callable[[str], str | None],
    timeout_s: float,
) -> Iterator[str]:
    """Keep a server running for the length of a `with` block.

    `ready` takes the log so far and returns what the block is given, or None while not ready.
    Raises `HpsError` where the server ends, or is not ready within `timeout_s`.
    """
    with (
        _output(log) as err,
        _guarded(command, subprocess.DEVNULL, err, guard_process) as process,
    ):
        yield _until_ready(process, log, ready, timeout_s)


def capture(command: Command, *, timeout_s: float) -> tuple[int, str]:
    """Run a short command: its exit code, and its standard output as text.

    Raises `HpsError` where it can't be started, takes longer than `timeout_s`, or writes more than
    64 KiB: then it is not the program that it was taken for.
    """
    process = _spawn(command, subprocess.PIPE, subprocess.DEVNULL)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    deadline_s = time.monotonic() + timeout_s
    try:
        out = _read_answer(process.stdout, deadline_s)
        code = process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        shown = f"{Path(command.argv[0]).name} {command.argv[1]}"
        raise HpsError(f"{shown} gave no answer in {timeout_s:g} s", command.argv[0]) from error
    finally:
        end_group(process)
        process.stdout.close()
    return code, out.decode(errors="replace")


def _read_answer(stream: IO[bytes], deadline_s: float) -> bytes:
    """All that is written to a pipe. Raises `TimeoutError`, and `HpsError` where it is too much."""
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(answer) <= _MOST_ANSWER_BYTES:
            if not selector.select(max(0.0, deadline_s - time.monotonic())):
                raise TimeoutError
            data = os.read(stream.fileno(), _MOST_ANSWER_BYTES)
            if not data:
                return bytes(answer)
            answer += data
    raise HpsError("a program that was asked for its version writes without end")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Terminate, wait, kill: afterwards nothing of the process' group is left."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(timeout=TERMINATE_GRACE_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait(timeout=KILL_GRACE_S)
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _spawn(
    command: Command, stdout: int, stderr: int, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.argv,
            env=command.env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise MissingProgramError(
            f"cannot start {command.argv[0]}: {error.strerror}", "is it installed and executable?"
        ) from error


@contextlib.contextmanager
def _guarded(
    command: Command,
    stdout: int,
    stderr: int,
    guard_process: Guard,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended after the `with` block, by the guard where this one can't."""
    process = _spawn(command, stdout, stderr, stdin)
    try:
        guard_process.send("watch", process.pid)
        yield process
    finally:
        end_group(process)
        guard_process.forget(process.pid)


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[int]:
    try:
        stream = Path(os.devnull if path is None else path).open("wb")  # noqa: SIM115 - see below
    except OSError as error:
        hint = "is the temporary folder (TMPDIR) still there, and has it space?"
        raise MachineError(f"cannot write {path}: {error.strerror}", hint) from error
    with stream:
        yield stream.fileno()


@contextlib.contextmanager
def _input(data: bytes) -> Iterator[int]:
    """Where a process reads these bytes, all of them or as many as it wants."""
    if not data:
        yield subprocess.DEVNULL
        return
    read, write = os.pipe()
    writer = threading.Thread(target=_feed, args=(write, data), daemon=True)
    writer.start()
    try:
        yield read
    finally:
        os.close(read)  # whatever was not read breaks the pipe, and ends the thread
        writer.join()


def _feed(pipe: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as stream:
        stream.write(data)


@dataclass(frozen=True, slots=True)
class _Flood:
    """The outputs of a process, each with the most that it may hold."""

    outputs: tuple[int, int]
    most_bytes: float

    def is_there(self) -> bool:
        return any(os.fstat(output).st_size > self.most_bytes for output in self.outputs)


def _wait(
    process: subprocess.Popen[bytes],
    standstill: Standstill,
    usage: Usage,
    deadline_s: float,
    stop: Stop | None,
    sampler: Sampler | None,
    flood: _Flood,
) -> Ended:
    sample_at_s = math.inf if sampler is None else time.monotonic() + sampler.interval_s
    with exit_waiter(process) as wait:
        while not wait(rest_s := _rest_s(deadline_s, sample_at_s)):
            standstill.add(rest_s)
            usage.look()
            now_s = time.monotonic()
            if stop is not None and stop.is_set():
                return "stopped"
            if now_s >= deadline_s:
                return "timeout"
            if flood.is_there():
                return "flooded"
            if sampler is not None and now_s >= sample_at_s:
                sampler.sample(process.pid)
                sample_at_s = time.monotonic() + sampler.interval_s
    standstill.add(rest_s)
    return "exit"


def _rest_s(deadline_s: float, sample_at_s: float) -> float:
    """Seconds until the next look; `stop` is polled at least four times a second."""
    return min(_STOP_INTERVAL_S, max(0.0, min(deadline_s, sample_at_s) - time.monotonic()))


def _until_ready(
    process: subprocess.Popen[bytes],
    log: Path,
    ready: Callable[[str], str | None],
    timeout_s: float,
) -> str:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and process.poll() is None:
        answer = ready(log.read_text(errors="replace"))
        if answer is not None:
            return answer
        time.sleep(0.01)
    name = Path(str(process.args[0] if isinstance(process.args, tuple) else process.args)).name
    state = f"ended with code {process.returncode}" if process.returncode is not None else "is slow"
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise HpsError(f"{name} was not ready within {timeout_s:g} s: it {state}", last[0][:300])
