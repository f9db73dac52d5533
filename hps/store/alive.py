"""Is a run at work on this machine? Told by a name that the kernel forgets with its process.

A name in the abstract namespace of Unix sockets is no file, and so nothing is left by a kill; all
processes of a network namespace see it. See unix(7), "abstract".
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from hps.errors import HpsError


@contextlib.contextmanager
def told(run_id: str) -> Iterator[None]:
    """For the length of a `with` block, `is_alive` is true of this run.

    Raises `HpsError` where it is so already: two that go on with one run would store it twice.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(_name(run_id))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                hint = "wait for its end, or begin a new run with --fresh"
                raise HpsError(f"run {run_id} is at work on this machine", hint) from None
            # A system without such names, or that gives out none, goes without.
        yield


def is_alive(run_id: str) -> bool:
    """True while a process of this machine is within `told` for the run.

    It looks without taking the name, which a run that begins at that moment needs.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as looks:
        return looks.connect_ex(_name(run_id)) == 0


def _name(run_id: str) -> str:
    return f"\0hps-run-{run_id}"
