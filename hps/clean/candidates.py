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
from hps.run.session import Tools
from hps.run_folder import is_run_id, run_that_made
from hps.steps.context import RunStop
from hps.targets import cleanup
from hps.targets.bucket import Link
from hps.tools.client import Listed

_LIST_TIMEOUT_S = 600.0
_ASK_S = 60.0
_NAME = "look"
# The second part is that of a start which found the journal of another.
_JOURNAL = re.compile(r"[^/]+/(?P<run>[^/.]+)(\.[0-9a-f]{8})?\.jsonl")


@dataclass(slots=True)
class FoundOfRun:
    """What one run has in one target. `newest` is the time of the latest object or upload."""

    objects: int = 0
    size_bytes: int = 0
    uploads: int = 0
    newest: datetime | None = None

    def add(self, item: Listed, *, upload: bool) -> None:
        """Count an object, or an incomplete multipart upload."""
        self.uploads += upload
        self.objects += not upload
        self.size_bytes += item.size_bytes
        self.newest = latest((self.newest, item.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInTarget:
    """What each run has in one target. `unknown` says why uploads could not be listed, if so."""

    runs: dict[str, FoundOfRun] = field(default_factory=dict)
    unknown: str = ""


def latest(moments: Iterable[datetime | None]) -> datetime | None:
    """The last of the moments that are known; None where none is."""
    return max((moment for moment in moments if moment is not None), default=None)


def find(link: Link, stop: RunStop) -> FoundInTarget:
    """All that runs made below the link's folder, which is that of an experiment.

    Raises `MachineError` where it can't be listed.
    """
    runs: dict[str, FoundOfRun] = {}
    for item in _objects(link, stop):
        _count(runs, item.key, item, upload=False)
    uploads, wrong = cleanup.list_uploads(link, link.key, timeout_s=_LIST_TIMEOUT_S, stop=stop)
    for item in uploads:
        if item.key.startswith(f"{link.key}/"):
            _count(runs, item.key.removeprefix(f"{link.key}/"), item, upload=True)
    return FoundInTarget(runs=runs, unknown=wrong.reason if wrong else "")


def list_journals(link: Link, stop: RunStop) -> dict[str, datetime]:
    """When the journal of each run was last sent to the link's folder, from whichever machine.

    Raises `MachineError` where it can't be listed.
    """
    found: dict[str, datetime] = {}
    for item in _objects(link, stop):
        match = _JOURNAL.fullmatch(item.key)
        if match and is_run_id(match["run"]) and item.at is not None:
            found[match["run"]] = max(item.at, found.get(match["run"], item.at))
    return found


def _count(runs: dict[str, FoundOfRun], key: str, item: Listed, *, upload: bool) -> None:
    run_id = run_that_made(key)
    if run_id is not None:
        runs.setdefault(run_id, FoundOfRun()).add(item, upload=upload)


def _objects(link: Link, stop: RunStop) -> Iterator[Listed]:
    any_there = False
    for item in link.list_objects(_NAME, timeout_s=_LIST_TIMEOUT_S, stop=stop):
        any_there = True
        yield item
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
# What this machine knows of an experiment's runs: which are at work, and which have ended here.


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run that has ended. `last` is when it last wrote here; its journal may be missing."""

    journal: Path
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """`live` runs are at work on this machine, `ended` runs were.

    Where any run is at work, `ended` is empty, since that run may be about to resume another.
    """

    live: frozenset[str] = frozenset()
    ended: Mapping[str, EndedRun] = field(default_factory=dict)


@contextlib.contextmanager
def locked(home: Path, machine: str) -> Iterator[Here]:
    """Lock an experiment's folder of results, and yield what it says of runs on this machine.

    Until the block ends no run can begin there. `home` has a folder for each machine id.
    """
    with contextlib.ExitStack() as stack:
        places = sorted(home.glob(f"*/{lock.NAME}"))
        own = home / machine / lock.NAME
        if own.parent.is_dir() and own not in places:
            places.append(own)
        locks = {place: stack.enter_context(_locked(place)) for place in places}
        live = {run for run, free in locks.values() if not free and run}
        if not all(free for _, free in locks.values()):
            yield Here(live=frozenset(live))
            return
        killed = locks[own][0] if own in locks else ""
        yield Here(ended=_ended(own, killed))


def _ended(lock_file: Path, killed: str) -> dict[str, EndedRun]:
    """The runs that have files beside the lock, and the run `killed` while it held the lock."""
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
    """Lock a file where no process has; yield the run that it names, and whether that succeeded.

    Its content stays, since the next run resumes what it names.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield "", False  # its run is unknown
        return
    # A lock on a file that its owner has just removed would keep no run from beginning.
    free = _lock(descriptor) and lock.is_at(descriptor, place)
    content = os.pread(descriptor, lock.MOST_BYTES, 0)
    try:
        yield _run_named(content), free
    finally:
        if free and not content:
            place.unlink(missing_ok=True)  # it was made here
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _run_named(content: bytes) -> str:
    run_id = str(lock.holder_of(content).get("run_id"))
    return run_id if is_run_id(run_id) else ""


# -------------------------------------------------------------------------------------------------
# Which runs may be at work, so that what they have in a bucket must stay.
#
# A run on this machine holds a lock, or writes that it is alive. One on another machine is taken to
# have ended where its latest object, upload and journal are all old enough.

AT_WORK = "it is at work on this machine"
# A server may finish what a killed tool had sent, and its clock may be ahead.
_LATE = timedelta(minutes=2)
PERHAPS_AT_WORK = "it may be at work on another machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """`ended` runs were on this machine, and none was resumed elsewhere.

    `journals` has the time at which each run's journal was last sent to the bucket.
    """

    live: Set[str]
    ended: Set[str]
    journals: Mapping[str, datetime] = field(default_factory=dict)

    def last(self, run_id: str, newest: datetime | None) -> datetime | None:
        """The run's last sign of life, with `newest`: the time of the latest that a target has."""
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
    """Signs of life of runs, here and in the bucket that has their results.

    `newest` has the time of the latest that each run has in a target.
    Raises `MachineError` where the bucket can't be listed.
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
    here = {run for run, last in ended.items() if _is_same(run, last.journal, link)}
    return Signs(live=known.live, ended=here, journals=journals)


def began(run_id: str) -> datetime | None:
    """When a run began, as its id says; None where the id holds no moment."""
    try:
        return datetime.strptime(run_id[:18] + "000+0000", "%Y%m%dT%H%M%S%f%z")
    except ValueError:
        return None


def _is_later(moment: datetime | None, ended: EndedRun) -> bool:
    """True where something came so long after a run ended here that it may have been resumed."""
    return moment is not None and moment > ended.last + _LATE


def _is_same(run_id: str, journal: Path, link: Link) -> bool:
    """False where the bucket has lines that this machine lacks, so that the run was resumed."""
    into = link.scratch / "journals" / run_id
    if resume.fetch_journals(link, f"/*/{run_id}.jsonl", into):
        return False
    fetched = list(into.rglob("*.jsonl")) if into.is_dir() else []
    own = journal.read_bytes() if journal.is_file() else b""
    return all(
        path.parent.name == journal.parent.name and own.startswith(path.read_bytes())
        for path in fetched
    )
