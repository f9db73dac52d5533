"""What lies in a target below the folder of an experiment, by the run that made it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hps import removal
from hps.errors import MachineError
from hps.probe.bounded import Bounded
from hps.probe.link import Link
from hps.steps.context import RunStop
from hps.targets.own import is_run_id, run_that_made
from hps.tools import listed, rclone
from hps.tools.listed import Listed

_LIST_TIMEOUT_S = 600.0
_ASK_S = 60.0
_NAME = "look"
# The second part is that of a start which found the journal of another.
_JOURNAL = re.compile(r"[^/]+/(?P<run>[^/.]+)(\.[0-9a-f]{8})?\.jsonl")


@dataclass(slots=True)
class FoundOfRun:
    """What one run has in one target. `newest` is when the latest of it came, where known."""

    objects: int = 0
    size_bytes: int = 0
    uploads: int = 0
    newest: datetime | None = None

    def add(self, one: Listed, *, upload: bool) -> None:
        """Count one more."""
        self.uploads += upload
        self.objects += not upload
        self.size_bytes += one.size_bytes
        self.newest = latest((self.newest, one.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found by run; and why uploads could not be looked for, or nothing."""

    runs: dict[str, FoundOfRun] = field(default_factory=dict)
    unknown: str = ""


def latest(moments: Iterable[datetime | None]) -> datetime | None:
    """The last of some moments, as far as they are known."""
    return max((moment for moment in moments if moment is not None), default=None)


def look(link: Link, stop: RunStop) -> Looked:
    """Everything that runs made below the link's folder; nothing else is counted.

    The folder is that of an experiment. Raises `MachineError` where it can't be listed.
    """
    runs: dict[str, FoundOfRun] = {}
    for one in _objects(link, stop):
        _count(runs, one.key, one, upload=False)
    uploads, wrong = removal.unfinished(link, link.key, timeout_s=_LIST_TIMEOUT_S, stop=stop)
    for one in uploads:
        if one.key.startswith(f"{link.key}/"):
            _count(runs, one.key.removeprefix(f"{link.key}/"), one, upload=True)
    return Looked(runs=runs, unknown=wrong.reason if wrong else "")


def journals(link: Link, stop: RunStop) -> dict[str, datetime]:
    """When the journal of each run last came to the link's folder, which holds one per machine.

    Raises `MachineError` where it can't be listed.
    """
    found: dict[str, datetime] = {}
    for one in _objects(link, stop):
        match = _JOURNAL.fullmatch(one.key)
        if match and is_run_id(match["run"]) and one.at is not None:
            found[match["run"]] = max(one.at, found.get(match["run"], one.at))
    return found


def _count(runs: dict[str, FoundOfRun], key: str, one: Listed, *, upload: bool) -> None:
    run_id = run_that_made(key)
    if run_id is not None:
        runs.setdefault(run_id, FoundOfRun()).add(one, upload=upload)


def _objects(link: Link, stop: RunStop) -> Iterator[Listed]:
    call = rclone.list_objects(link.remote, link.key)
    bounded = Bounded(out=link.scratch / f"{_NAME}.out")
    ended = link.run(call, timeout_s=_LIST_TIMEOUT_S, name=_NAME, stop=stop, sampler=bounded)
    if ended.ended != "exit" or ended.returncode != 0:
        why = bounded.failure or link.why_plain(_NAME, ended)
        raise MachineError(
            f"{link.remote.path(link.key)} can't be listed: {why.reason}",
            "check the endpoint, the bucket, and the keys: may they list it?",
        )
    any_there = False
    try:
        for one in listed.objects(link.scratch / f"{_NAME}.out"):
            any_there = True
            yield one
    except ValueError as error:
        what = f"the list of {link.remote.path(link.key)} is not whole"
        raise MachineError(what, "is there space in the temporary folder?") from error
    if not any_there:
        _check_denies(link, stop)


def _check_denies(link: Link, stop: RunStop) -> None:
    """A login page or a console answers 200 to everything, which rclone reads as an empty list."""
    key = f"{link.key}/{uuid.uuid4().hex}"
    ended = link.run(rclone.look_for(link.remote, key), timeout_s=_ASK_S, name=_NAME, stop=stop)
    answered = ended.ended == "exit" and ended.returncode == 0
    if answered and listed.is_object(link.scratch / f"{_NAME}.out"):
        raise MachineError(
            f"{link.remote.path(link.key)} can't be listed: the server has an object of any name, "
            "even of one just made up, so it is no S3 server",
            "check the endpoint: a login page or a console answers like this",
        )
