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
from hps.process import end_group

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
    stdout, stderr = streams
    try:
        with place.entered():
            process = subprocess.Popen(
                command, env=env, stdout=stdout, stderr=stderr, start_new_session=True
            )
    except OSError as error:
        raise CommandError(command[0], error) from error
    try:
        with _signals_passed_on(process):
            _wait(process, forwarder, timeout_s)
    finally:
        end_group(process)
    code = process.returncode
    return 128 - code if code < 0 else code


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


@contextlib.contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
