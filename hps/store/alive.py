"""Is a run at work on this machine? Told by a name that the kernel forgets with its process.

A name in the abstract namespace of Unix sockets is no file, and so nothing is left by a kill; all
processes of a network namespace see it. See unix(7), "abstract".
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def told(run_id: str) -> Iterator[None]:
    """For the length of a `with` block, `is_alive` is true of this run."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        # Whoever has the name already says the same with it.
        _bind(name, run_id)
        yield


def is_alive(run_id: str) -> bool:
    """True while a process of this machine is within `told` for the run."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        return not _bind(name, run_id)


def _bind(name: socket.socket, run_id: str) -> bool:
    """False where another process has the name."""
    try:
        name.bind(f"\0hps-run-{run_id}")
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
