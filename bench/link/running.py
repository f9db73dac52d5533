"""A command in a namespace: it gets our signals, and is stopped where the link breaks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from bench.link.errors import LinkError
from bench.link.namespace import Namespace
from hps.errors import HpsError
from hps.process.process import end_group

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_FOUND, _NOT_STARTED = 127, 126


class CommandError(HpsError):
    """The command can't be started; the exit code is that of a shell."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(f"cannot start {name}: {error.strerror}", "is it installed?")
        self.exit_code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    place: Namespace,
    forwarder: int,
    timeout_s: float | None,
    streams: tuple[int | None, int | None],
) -> int:
    """Run to the end, and return the exit code, 128 and the signal where one ended it.

    `forwarder` is a pidfd of the process without which the link is none.
    Raises `CommandError`, and `LinkError` for a link that broke and for a time-out.
    """
    with _signals_passed_on() as signals:
        process = _started(command, env, place, streams)
        try:
            signals.pass_on_to(process)
            _wait(process, forwarder, timeout_s)
        finally:
            end_group(process)
    code = process.returncode
    return 128 - code if code < 0 else code


def _started(
    command: Sequence[str],
    env: Mapping[str, str],
    place: Namespace,
    streams: tuple[int | None, int | None],
) -> subprocess.Popen[bytes]:
    stdout, stderr = streams
    try:
        with place.entered():
            return subprocess.Popen(
                command, env=env, stdout=stdout, stderr=stderr, start_new_session=True
            )
    except OSError as error:
        raise CommandError(command[0], error) from error


def _wait(process: subprocess.Popen[bytes], forwarder: int, timeout_s: float | None) -> None:
    ended = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([ended, forwarder], (), (), timeout_s)
    finally:
        os.close(ended)
    if not ready:
        raise LinkError(f"{process.args!r} took longer than {timeout_s:g} s")
    if ended not in ready:
        raise LinkError("the link's forwarder ended under the command", "was it killed by hand?")
    process.wait()


class _Signals:
    """Passes signals on to a process; those that come before it has started, as soon as it has."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._group: int | None = None

    def take(self, number: int, _: FrameType | None) -> None:
        """The signal handler."""
        if self._group is None:
            self._waiting.append(number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, number)

    def pass_on_to(self, process: subprocess.Popen[bytes]) -> None:
        """From now on to this one."""
        self._group = process.pid
        for number in self._waiting:
            self.take(number, None)


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[_Signals]:
    signals = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.signal(number, signals.take) for number in _PASSED_ON}
    try:
        yield signals
    finally:
        for number, action in before.items():
            signal.signal(number, action)
