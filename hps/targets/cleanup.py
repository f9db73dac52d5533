"""Removing what a run, or a trial of it, left in a bucket, with a few tries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from hps.catalog.failures import failure
from hps.errors import HpsError
from hps.model import Failure
from hps.process import process
from hps.process.process import Stop
from hps.run_folder import OwnFolder
from hps.targets.bucket import Bounded, Link
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, errors, listed
from hps.tools.rclone.listed import Listed

# -------------------------------------------------------------------------------------------------
# Taking back what a run put into a bucket, and nothing else.
#
# For uploads rclone knows only "whose key begins with", and aborts whatever a server then names: so
# it is looked first whose those are, and afterwards whether ours are gone.

_NAME = "removal"
# How failures name the call that lists unfinished uploads.
LISTING = "ListMultipartUploads"
_NOT_ASKED_FOR = failure(
    "bad_answer",
    "the server lists uploads that it was not asked for, and with ours these would be aborted",
    hint="",
)
_NOT_WHOLE = failure(
    "disk_full", "the list of uploads is not whole: is there space in the temporary folder?"
)
_STILL_LISTED = failure("bad_answer", "the server still lists what was aborted", hint="")


def delete_objects(
    link: Link, folder: OwnFolder, *, timeout_s: float, stop: Stop | None = None
) -> Failure | None:
    """Delete the objects that a run made in its folder. Returns what went wrong."""
    return _done(link, command.remove_made(link.remote, folder), timeout_s, stop)


def abort_uploads(
    link: Link, folder: OwnFolder, *, timeout_s: float, stop: Stop | None = None
) -> Failure | None:
    """Abort the uploads that a run began in its folder. Returns what went wrong."""
    ours, others, wrong = _whose(link, folder, timeout_s, stop)
    if wrong or not ours:
        return wrong
    if any(not key.startswith(folder.key) for key in others):
        return _NOT_ASKED_FOR
    tried = [_abort(link, key, others, timeout_s, stop) for key in _places(ours, others)]
    said = next((why for why in tried if why), None)
    left, _, wrong = _whose(link, folder, timeout_s, stop)
    return (said or wrong or _STILL_LISTED) if left or wrong else None


def unfinished(
    link: Link, key: str, *, timeout_s: float, stop: Stop | None = None
) -> tuple[list[Listed], Failure | None]:
    """Everybody's uploads whose key begins with `key`; and why they can't be listed."""
    wrong = _done(link, command.list_uploads(link.remote, key), timeout_s, stop)
    if wrong:
        # So rclone's own server answers whoever asks for a list where there are none.
        none = wrong.code == "not_found" and wrong.call == LISTING
        return [], None if none else wrong
    try:
        return listed.uploads(link.scratch / f"{_NAME}.out", link.remote), None
    except ValueError:
        return [], _NOT_WHOLE


def _whose(
    link: Link, folder: OwnFolder, timeout_s: float, stop: Stop | None
) -> tuple[set[str], set[str], Failure | None]:
    """The keys of a run's own uploads in its folder, those of others, and what went wrong."""
    uploads, wrong = unfinished(link, folder.key, timeout_s=timeout_s, stop=stop)
    keys = {upload.key for upload in uploads}
    ours = {key for key in keys if folder.made(key)}
    return ours, keys - ours, wrong


def _places(ours: Iterable[str], others: Iterable[str]) -> list[str]:
    """Beginnings of keys that all of ours have, and as few as can be of the others."""
    places: dict[str, None] = {}
    for key in sorted(ours):
        trial = "/".join(key.split("/")[:4])
        shared = any(other.startswith(trial) for other in others)
        places[key if shared else trial] = None
    return list(places)


def _abort(
    link: Link, place: str, others: Iterable[str], timeout_s: float, stop: Stop | None
) -> Failure | None:
    if any(other.startswith(place) for other in others):
        text = f"somebody else's upload has a name that begins with {place}"
        return failure("bad_answer", text, hint="")
    parts = place.split("/")
    folder = OwnFolder("/".join(parts[:4]))
    call = command.abort_uploads(link.remote, folder, "/".join(parts[4:]))
    # rclone ends well, too, where the server refused.
    return _done(link, call, timeout_s, stop) or errors.first_failure(link.log(_NAME))


def _done(link: Link, call: Invocation, timeout_s: float, stop: Stop | None) -> Failure | None:
    """Run a call to its end. Returns what went wrong."""
    bounded = Bounded(out=link.scratch / f"{_NAME}.out")
    ended = link.run(call, timeout_s=timeout_s, name=_NAME, stop=stop, sampler=bounded)
    if ended.ended == "exit" and ended.returncode == 0:
        return None
    return bounded.failure or link.why_plain(_NAME, ended)


# -------------------------------------------------------------------------------------------------

What = Literal["uploads", "objects"]
ALL: tuple[What, ...] = ("uploads", "objects")

_TRIES = 3
_REMOVE = {"uploads": abort_uploads, "objects": delete_objects}
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
        if wrong.call == LISTING and wrong.code in _NO_LIST:
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
