"""Network namespaces without a name: they end with the last process that holds them.

So nothing can be left behind for a later run to find, however a program ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.link.errors import NoLinkError

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_LIBC = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace with nothing in it but a loopback device."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def path(self) -> str:
        """A file that `nsenter --net=…` takes, for as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @property
    def inode(self) -> int:
        """The number that `/proc/<pid>/ns/net` of each process in it has."""
        return os.fstat(self._descriptor).st_ino

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """For the length of a `with` block this thread is in it.

        Sockets, processes and threads that are made in the block belong to it for good.
        """
        own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set(self._descriptor)
            try:
                yield
            finally:
                _set(own)
        finally:
            os.close(own)


@contextlib.contextmanager
def new_namespace() -> Iterator[Namespace]:
    """A namespace of its own for a `with` block. Raises `NoLinkError` where that is not allowed."""
    opened: list[int] = []
    failed: list[OSError] = []
    # A thread of its own: were it not for that, this one might find no way back.
    maker = threading.Thread(target=_make, args=(opened, failed))
    maker.start()
    maker.join()
    if failed:
        raise NoLinkError(
            f"no network namespace can be made here: {failed[0].strerror}",
            "run as root, in a container with --privileged",
        )
    try:
        yield Namespace(opened[0])
    finally:
        os.close(opened[0])


def inhabitants(inodes: set[int]) -> list[int]:
    """The ids of all processes in namespaces of these numbers, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has just ended
                if (entry / "ns" / "net").stat().st_ino in inodes:
                    found.append(int(entry.name))
    return found


def _make(opened: list[int], failed: list[OSError]) -> None:
    try:
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        opened.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        failed.append(error)


def _set(descriptor: int) -> None:
    _checked(_LIBC.setns(descriptor, _CLONE_NEWNET))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
