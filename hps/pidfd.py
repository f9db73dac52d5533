"""When a process ended: waiting for that through its pidfd."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Protocol

_STEP_S = 0.01


class Child(Protocol):
    """A process that this one has started: `subprocess.Popen` is one."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""


@contextlib.contextmanager
def exit_waiter(process: Child) -> Iterator[Callable[[float], bool]]:
    """A function that waits up to some seconds and says whether the process has ended."""
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
    return process.poll() is not None


def _ended_within(process: Child, seconds: float) -> bool:
    ends_s = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= ends_s:
            return False
        time.sleep(_STEP_S)
    return True
