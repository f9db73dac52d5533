"""Removes what a run, or a trial, wrote to its own folder of a bucket, with a few tries."""

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
from hps.targets.bucket import Link
from hps.tools import CLIENT
from hps.tools.client import ClientCall, Listed

# -------------------------------------------------------------------------------------------------
# One try: delete the objects, or abort the uploads, of a run, and nothing else.
#
# Of uploads the client can only abort those whose key begins with some text, and it aborts whatever
# a server then names. So they are listed before, to see whose they are, and after, to see that ours
# are gone. Azure has none: blocks that are not committed can't be listed, and go by themselves.

_NAME = "removal"
# How failures name the call of the S3 API that lists uploads.
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
    """Delete the objects that a run made in its folder. Returns why not; None: they are gone."""
    return _run(link, CLIENT.delete_made(link.target, folder), timeout_s, stop)


def abort_uploads(
    link: Link, folder: OwnFolder, *, timeout_s: float, stop: Stop | None = None
) -> Failure | None:
    """Abort the uploads that a run began in its folder. Returns why not; None: they are gone."""
    ours, others, wrong = _sort_uploads(link, folder, timeout_s, stop)
    if wrong or not ours:
        return wrong
    if any(not key.startswith(folder.key) for key in others):
        return _NOT_ASKED_FOR
    tried = [_abort(link, key, others, timeout_s, stop) for key in _places(ours, others)]
    refused = next((why for why in tried if why), None)
    remaining, _, wrong = _sort_uploads(link, folder, timeout_s, stop)
    return (refused or wrong or _STILL_LISTED) if remaining or wrong else None


def list_uploads(
    link: Link, key: str, *, timeout_s: float, stop: Stop | None = None
) -> tuple[list[Listed], Failure | None]:
    """All uploads, of anybody, whose key begins with `key`; and why they can't be listed."""
    if not link.keeps_uploads:
        return [], None
    wrong = _run(link, CLIENT.list_uploads(link.target, key), timeout_s, stop)
    if wrong:
        # Some servers answer so where there are no uploads, the embedded one among them.
        none = wrong.code == "not_found" and wrong.call == LISTING
        return [], None if none else wrong
    try:
        return CLIENT.read_uploads(link.target, link.scratch / f"{_NAME}.out"), None
    except ValueError:
        return [], _NOT_WHOLE


def _sort_uploads(
    link: Link, folder: OwnFolder, timeout_s: float, stop: Stop | None
) -> tuple[set[str], set[str], Failure | None]:
    """The keys of a run's own uploads in its folder, those of others, and what went wrong."""
    uploads, wrong = list_uploads(link, folder.key, timeout_s=timeout_s, stop=stop)
    keys = {upload.key for upload in uploads}
    ours = {key for key in keys if folder.made(key)}
    return ours, keys - ours, wrong


def _places(ours: Iterable[str], others: Iterable[str]) -> list[str]:
    """Beginnings of keys: all of ours have one, and as few as possible of the others."""
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
    call = CLIENT.abort_uploads(link.target, folder, "/".join(parts[4:]))
    return _run(link, call, timeout_s, stop)


def _run(link: Link, call: ClientCall, timeout_s: float, stop: Stop | None) -> Failure | None:
    """Run a call to its end. Returns why it failed."""
    return link.run(call, timeout_s=timeout_s, name=_NAME, stop=stop).failure


# -------------------------------------------------------------------------------------------------

Kind = Literal["uploads", "objects"]
ALL: tuple[Kind, ...] = ("uploads", "objects")

_TRIES = 3
_REMOVE = {"uploads": abort_uploads, "objects": delete_objects}
# Of servers that keep no list of uploads, or don't give it to these keys: another try, or another
# run, could do no better.
_NO_LIST = {"not_found", "not_implemented", "no_permission"}


def remove(
    link: Link,
    kinds: tuple[Kind, ...] = ALL,
    *,
    timeout_s: float,
    stop: process.Stop,
    event: Callable[..., object],
) -> bool:
    """Remove what operations made in the link's folder; True where nothing is known to remain.

    All tries of one kind end within `timeout_s`, so that a server that hangs is asked once, and one
    that fails is asked again. An event reports what could not be removed.
    """
    folder = OwnFolder(link.key)
    done = [_remove_kind(link, folder, kind, timeout_s, stop, event) for kind in kinds]
    return all(done)


def _remove_kind(
    link: Link,
    folder: OwnFolder,
    kind: Kind,
    timeout_s: float,
    stop: process.Stop,
    event: Callable[..., object],
) -> bool:
    remaining_s, ends_s = timeout_s, time.monotonic() + timeout_s
    wrong: Failure | None = None
    for _ in range(_TRIES):
        wrong = _try(kind, link, folder, remaining_s, stop)
        if wrong is None:
            return True
        # An upload that is known, and could not be aborted, is reported below.
        if wrong.call == LISTING and wrong.code in _NO_LIST:
            event("uploads_not_listed", key=folder.key, reason=wrong.reason)
            return True
        remaining_s = ends_s - time.monotonic()
        if stop.is_set() or remaining_s <= 0:
            break
    event("clean_up_failed", what=kind, key=folder.key, reason=wrong.reason if wrong else "")
    return False


def _try(
    kind: Kind, link: Link, folder: OwnFolder, timeout_s: float, stop: process.Stop
) -> Failure | None:
    """Returns why it failed; also that the client can't be started, for the sweep continues."""
    try:
        return _REMOVE[kind](link, folder, timeout_s=timeout_s, stop=stop)
    except HpsError as error:
        return failure("tool_missing", error.message)
