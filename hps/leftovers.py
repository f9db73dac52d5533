"""Removing what a run, or a trial of it, left in a bucket, with a few tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from hps import process, removal
from hps.catalog.failures import Failure, failure
from hps.errors import HpsError
from hps.probe.link import Link
from hps.targets.own import OwnFolder

What = Literal["uploads", "objects"]
ALL: tuple[What, ...] = ("uploads", "objects")

_TRIES = 3
_REMOVE = {"uploads": removal.abort_uploads, "objects": removal.delete_objects}
# Servers that keep no list of unfinished uploads, or give it to nobody with these keys: there is
# nothing that could be done better later.
_NO_LIST = {"not_found", "not_implemented", "no_permission"}


def remove(
    link: Link,
    whats: tuple[What, ...] = ALL,
    *,
    timeout_s: float,
    stop: process.Stop,
    event: Callable[..., object],
) -> bool:
    """Remove what operations made in the link's folder, with all tries within `timeout_s` for each.

    So a server that hangs is asked once, and one that fails is asked again. What could not be
    removed is told. Returns True where nothing is known to be left.
    """
    folder = OwnFolder(link.key)
    done = [_removed(link, folder, what, timeout_s, stop, event) for what in whats]
    return all(done)


def _removed(
    link: Link,
    folder: OwnFolder,
    what: What,
    timeout_s: float,
    stop: process.Stop,
    event: Callable[..., object],
) -> bool:
    left_s, ends_s = timeout_s, time.monotonic() + timeout_s
    wrong: Failure | None = None
    for _ in range(_TRIES):
        wrong = _tried(what, link, folder, left_s, stop)
        if wrong is None:
            return True
        # Of an upload that is known, and could not be aborted, it is told.
        if wrong.call == removal.LISTING and wrong.code in _NO_LIST:
            event("uploads_not_listed", key=folder.key, reason=wrong.reason)
            return True
        left_s = ends_s - time.monotonic()
        if stop.is_set() or left_s <= 0:
            break
    event("clean_up_failed", what=what, key=folder.key, reason=wrong.reason if wrong else "")
    return False


def _tried(
    what: What, link: Link, folder: OwnFolder, timeout_s: float, stop: process.Stop
) -> Failure | None:
    """Returns what went wrong; the sweep goes on also where rclone can't be started."""
    try:
        return _REMOVE[what](link, folder, timeout_s=timeout_s, stop=stop)
    except HpsError as error:
        return failure("tool_missing", error.message)
