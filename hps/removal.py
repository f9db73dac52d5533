"""Taking back what a run put into a bucket, and nothing else.

For uploads rclone knows only "whose key begins with", and aborts whatever a server then names: so
it is looked first whose those are, and afterwards whether ours are gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from hps.probe.bounded import Bounded
from hps.probe.link import Link
from hps.process import Stop
from hps.targets.own import OwnFolder
from hps.tools import evidence, listed, rclone
from hps.tools.listed import Listed

_NAME = "removal"
# What rclone's own server answers to whoever asks for a list and there are none.
_NO_UPLOADS = "NoSuchUpload"
_NOT_ASKED_FOR = (
    "the server lists uploads that it was not asked for, and with ours these would be aborted"
)


def delete_objects(
    link: Link, folder: OwnFolder, *, timeout_s: float, stop: Stop | None = None
) -> str:
    """Delete the objects that a run made in its folder. Returns what went wrong, or nothing."""
    return _done(link, rclone.remove_made(link.remote, folder), timeout_s, stop)


def abort_uploads(
    link: Link, folder: OwnFolder, *, timeout_s: float, stop: Stop | None = None
) -> str:
    """Abort the uploads that a run began in its folder. Returns what went wrong, or nothing."""
    ours, others, wrong = _whose(link, folder, timeout_s, stop)
    if wrong or not ours:
        return wrong
    if any(not key.startswith(folder.key) for key in others):
        return _NOT_ASKED_FOR
    tried = [_abort(link, key, others, timeout_s, stop) for key in _places(ours, others)]
    said = next((why for why in tried if why), "")
    left, _, wrong = _whose(link, folder, timeout_s, stop)
    return (said or wrong or "the server still lists what was aborted") if left or wrong else ""


def unfinished(
    link: Link, key: str, *, timeout_s: float, stop: Stop | None = None
) -> tuple[list[Listed], str]:
    """Everybody's uploads whose key begins with `key`; and why they can't be listed, or nothing."""
    wrong = _done(link, rclone.list_uploads(link.remote, key), timeout_s, stop)
    if wrong:
        return [], "" if _NO_UPLOADS in wrong else wrong
    try:
        return listed.uploads(link.scratch / f"{_NAME}.out", link.remote), ""
    except ValueError:
        return [], "the list of uploads is not whole: is there space in the temporary folder?"


def _whose(
    link: Link, folder: OwnFolder, timeout_s: float, stop: Stop | None
) -> tuple[set[str], set[str], str]:
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
) -> str:
    if any(other.startswith(place) for other in others):
        return f"somebody else's upload has a name that begins with {place}"
    parts = place.split("/")
    folder = OwnFolder("/".join(parts[:4]))
    call = rclone.abort_uploads(link.remote, folder, "/".join(parts[4:]))
    # rclone ends well, too, where the server refused.
    return _done(link, call, timeout_s, stop) or evidence.first_error(link.log(_NAME))


def _done(link: Link, call: rclone.Invocation, timeout_s: float, stop: Stop | None) -> str:
    """Run a call to its end. Returns what went wrong, or nothing."""
    bounded = Bounded(out=link.scratch / f"{_NAME}.out")
    ended = link.run(call, timeout_s=timeout_s, name=_NAME, stop=stop, sampler=bounded)
    if ended.ended == "exit" and ended.returncode == 0:
        return ""
    said = evidence.last_line(link.log(_NAME)) if ended.ended == "exit" else ""
    return bounded.why or said or link.why(_NAME, ended)
