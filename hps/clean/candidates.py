"""What lies in a target below the folder of an experiment, by the run that made it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hps.errors import MachineError
from hps.model import ResultsPlace
from hps.results import lock
from hps.run import resume
from hps.run.environment import Tools
from hps.run_folder import is_run_id, run_that_made
from hps.steps.context import RunStop
from hps.targets import cleanup
from hps.targets.bucket import Link, Listed

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
    uploads, wrong = cleanup.list_uploads(link, link.key, timeout_s=_LIST_TIMEOUT_S, stop=stop)
    for one in uploads:
        if one.key.startswith(f"{link.key}/"):
            _count(runs, one.key.removeprefix(f"{link.key}/"), one, upload=True)
    return Looked(runs=runs, unknown=wrong.reason if wrong else "")


def list_journals(link: Link, stop: RunStop) -> dict[str, datetime]:
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
    any_there = False
    for one in link.list_objects(_NAME, timeout_s=_LIST_TIMEOUT_S, stop=stop):
        any_there = True
        yield one
    if not any_there:
        _check_denies(link, stop)


def _check_denies(link: Link, stop: RunStop) -> None:
    """A login page or a console answers 200 to everything, which reads as an empty list."""
    key = f"{link.key}/{uuid.uuid4().hex}"
    if link.is_there(key, _NAME, timeout_s=_ASK_S, stop=stop):
        raise MachineError(
            f"{link.name} can't be listed: the server has an object of any name, "
            "even of one just made up, so it is no S3 server",
            "check the endpoint: a login page or a console answers like this",
        )


# -------------------------------------------------------------------------------------------------
# What this machine knows of an experiment's runs: which is at work, and which has ended here.


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run that is no more. `last` is when it last wrote here; its journal may be missing."""

    journal: Path
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """`live` runs are at work on this machine, `ended` ones ran on it.

    Where any run is at work, nothing is known to have ended: it may be about to go on with one.
    """

    live: frozenset[str] = frozenset()
    ended: Mapping[str, EndedRun] = field(default_factory=dict)


@contextlib.contextmanager
def locked(home: Path, machine: str) -> Iterator[Here]:
    """What is known from an experiment's folder of results; no run begins there in between.

    `home` has a folder for each machine whose runs this one has been through.
    """
    with contextlib.ExitStack() as stack:
        places = sorted(home.glob(f"*/{lock.NAME}"))
        own = home / machine / lock.NAME
        if own.parent.is_dir() and own not in places:
            places.append(own)
        told = {place: stack.enter_context(_locked(place)) for place in places}
        live = {run for run, free in told.values() if not free and run}
        if not all(free for _, free in told.values()):
            yield Here(live=frozenset(live))
            return
        killed = told[own][0] if own in told else ""
        yield Here(ended=_ended(own, killed))


def _ended(lock_file: Path, killed: str) -> dict[str, EndedRun]:
    """The runs that have files beside the lock, and the one that locked it when it was killed."""
    ended: dict[str, EndedRun] = {}
    for path in (*lock_file.parent.glob("*.*"), lock_file):
        run_id = killed if path == lock_file else path.stem
        if is_run_id(run_id):
            last = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            before = ended[run_id].last if run_id in ended else last
            journal = lock_file.with_name(f"{run_id}.jsonl")
            ended[run_id] = EndedRun(journal=journal, last=max(last, before))
    return ended


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[tuple[str, bool]]:
    """The run that a lock tells of, and whether no process had it: then it is locked from now on.

    What it tells stays as it is: the next run goes on from it.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield "", False  # nothing can be known of it
        return
    # A lock on a file that its holder has just removed keeps no run out: that is not free.
    free = _lock(descriptor) and lock.is_at(descriptor, place)
    told = os.pread(descriptor, lock.MOST_BYTES, 0)
    try:
        yield _run(told), free
    finally:
        if free and not told:
            place.unlink(missing_ok=True)  # it was made here
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _run(told: bytes) -> str:
    run_id = str(lock.holder_of(told).get("run_id"))
    return run_id if is_run_id(run_id) else ""


# -------------------------------------------------------------------------------------------------
# Which runs may be at work: what these have in a bucket is nobody's to remove.
#
# A run on this machine holds a lock, or says that it is alive. One on another machine shows by its
# latest object, upload or journal; where all of that is old enough it is taken to have ended.

AT_WORK = "it is at work on this machine"
# A server may finish what a killed tool had sent, and its clock may be ahead.
_LATE = timedelta(minutes=2)
PERHAPS_AT_WORK = "it may be at work on another machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """`ended` runs were on this machine, and nobody went on with them; `journals` came when."""

    live: Set[str]
    ended: Set[str]
    journals: Mapping[str, datetime] = field(default_factory=dict)

    def last(self, run_id: str, newest: datetime | None) -> datetime | None:
        """The last sign of life, where the newest that the run has in a target is known."""
        return latest((began(run_id), newest, self.journals.get(run_id)))

    def why_kept(self, run_id: str, last: datetime | None, older_than_s: float) -> str:
        """Why a run may be at work; empty where it is not."""
        if run_id in self.live or lock.is_alive(run_id):
            return AT_WORK
        if run_id in self.ended or last is None:
            return ""
        age_s = (datetime.now(UTC) - last).total_seconds()
        return "" if age_s >= older_than_s else PERHAPS_AT_WORK


def signs(
    newest: Mapping[str, datetime | None],
    known: Here,
    place: ResultsPlace,
    experiment: str,
    tools: Tools,
    stop: RunStop,
) -> Signs:
    """What is known of runs here and in the bucket that has their results.

    `newest` is when the latest came that each has in a target.
    Raises `MachineError` where that can't be listed.
    """
    ended = {
        run: known.ended[run]
        for run, moment in newest.items()
        if run in known.ended and not _is_later(moment, known.ended[run])
    }
    if place.target not in tools.targets:
        return Signs(live=known.live, ended=set(ended))
    folder = "/".join(part for part in (place.folder, experiment) if part)
    link = tools.link(place.target, folder, stop)
    journals = list_journals(link, stop)
    here = {run for run, one in ended.items() if _is_as_here(run, one.journal, link)}
    return Signs(live=known.live, ended=here, journals=journals)


def began(run_id: str) -> datetime | None:
    """When a run began, as its id says."""
    try:
        return datetime.strptime(run_id[:18] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return None  # of the right form, but no moment


def _is_later(moment: datetime | None, ended: EndedRun) -> bool:
    """True for what came so long after a run ended here that somebody may have gone on with it."""
    return moment is not None and moment > ended.last + _LATE


def _is_as_here(run_id: str, journal: Path, link: Link) -> bool:
    """True unless the bucket has what this machine has not: somebody went on with the run."""
    into = link.scratch / "journals" / run_id
    if resume.fetch_journals(link, f"/*/{run_id}.jsonl", into):
        return False
    fetched = list(into.rglob("*.jsonl")) if into.is_dir() else []
    own = journal.read_bytes() if journal.is_file() else b""
    return all(
        path.parent.name == journal.parent.name and own.startswith(path.read_bytes())
        for path in fetched
    )
