"""One run at a time in a folder; the next one learns what a killed one was doing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from hps.errors import HpsError, NotStoredError

NAME = ".lock"
# One page: a kill in the middle of a write leaves the old text or the new one.
MOST_BYTES = 4096


class RunLock:
    """A lock on a folder, held by this process until the end of a `with` block.

    `before` is what the last holder had recorded when it was killed; empty where it had ended.
    Raises `HpsError` where another run has the lock, and `NotStoredError` where the folder can't be
    written to.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = _opened(self.path)
            while not is_at(self._descriptor, self.path):  # its last holder has just removed it
                os.close(self._descriptor)
                self._descriptor = _opened(self.path)
            self.before: Mapping[str, object] = holder_of(os.pread(self._descriptor, MOST_BYTES, 0))
        except BlockingIOError:
            raise HpsError(
                f"another run works in {folder}: {_holder(self.path)}",
                "wait for its end, or that of `hps clean`; or name another folder with --output",
            ) from None
        except OSError as error:
            raise NotStoredError(
                f"cannot write results to {folder}: {error.strerror}",
                "name a folder that can be written with --output",
            ) from error

    def record(self, **fields: object) -> None:
        """Write down what this run does, for whoever finds its lock after a kill.

        It is one write of always the same length, and is not synced: it does not survive the
        machine. Of fields that do not fit, the last are dropped. Raises `NotStoredError`, for
        example on a full disk.
        """
        known = {"pid": os.getpid(), **fields}
        while len(text := json.dumps(known).encode()) > MOST_BYTES:
            known.popitem()
        try:
            os.pwrite(self._descriptor, text.ljust(MOST_BYTES), 0)
        except OSError as error:
            raise NotStoredError(
                f"cannot write results to {self.path.parent}: {error.strerror}",
                "is the disk full?",
            ) from error

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # On a disk that has become read-only the file stays, and the next run locks it.
        with contextlib.suppress(OSError):
            if is_at(self._descriptor, self.path):  # and not another's, where this was removed
                self.path.unlink()
        os.close(self._descriptor)


def _opened(path: Path) -> int:
    """The descriptor of the locked file. Raises `BlockingIOError` where another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_at(descriptor: int, path: Path) -> bool:
    """False where the file was removed after it was opened: a lock on it keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def holder_of(text: bytes) -> dict[str, object]:
    """What a lock's holder has recorded; empty where that is nothing, or no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # empty, or cut off in the middle of a word
    return found if isinstance(found, dict) else {}


def _holder(path: Path) -> str:
    try:
        holder = holder_of(path.read_bytes())
    except OSError:
        holder = {}  # it has just ended
    return f"process {holder.get('pid', 'unknown')}, run {holder.get('run_id', 'not begun')}"


# -------------------------------------------------------------------------------------------------
# Whether a run is at work on this machine: by a name that the kernel drops with its process.
#
# A name in the abstract namespace of Unix sockets is no file, so a kill leaves nothing; all
# processes of a network namespace see it. See unix(7), "abstract".


@contextlib.contextmanager
def announced(run_id: str) -> Iterator[None]:
    """Makes `is_alive` true of this run for the length of a `with` block.

    Raises `HpsError` where it is true already: two processes that resume one run would store it
    twice.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(_name(run_id))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                hint = "wait for its end, or begin a new run with --fresh"
                raise HpsError(f"run {run_id} is at work on this machine", hint) from None
            # A system without such names is not checked.
        yield


def is_alive(run_id: str) -> bool:
    """True while a process of this machine is within `announced` for the run.

    It looks without taking the name, which a run that begins at that moment needs.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as looks:
        return looks.connect_ex(_name(run_id)) == 0


def _name(run_id: str) -> str:
    return f"\0hps-run-{run_id}"
