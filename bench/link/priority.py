"""Real-time priority, for what has to be on time however busy the machine is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def on_time() -> Iterator[None]:
    """For a `with` block this thread runs before programs that have no such priority.

    Where that is not allowed, as in some containers, it runs as it did.
    """
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, before, parameters)
