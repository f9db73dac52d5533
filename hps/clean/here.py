"""What this machine knows of an experiment's runs: which is at work, and which has ended here."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps.store import lock
from hps.targets.own import is_run_id


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
def held(home: Path, machine: str) -> Iterator[Here]:
    """What is known from an experiment's folder of results; no run begins there in between.

    `home` has a folder for each machine whose runs this one has been through.
    """
    with contextlib.ExitStack() as stack:
        places = sorted(home.glob(f"*/{lock.NAME}"))
        own = home / machine / lock.NAME
        if own.parent.is_dir() and own not in places:
            places.append(own)
        told = {place: stack.enter_context(_taken(place)) for place in places}
        live = {run for run, free in told.values() if not free and run}
        if not all(free for _, free in told.values()):
            yield Here(live=frozenset(live))
            return
        killed = told[own][0] if own in told else ""
        yield Here(ended=_ended(own, killed))


def _ended(lock_file: Path, killed: str) -> dict[str, EndedRun]:
    """The runs that have files beside the lock, and the one that held it when it was killed."""
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
def _taken(place: Path) -> Iterator[tuple[str, bool]]:
    """The run that a lock tells of, and whether no process had it: then it is held from now on.

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
    run_id = str(lock.told(told).get("run_id"))
    return run_id if is_run_id(run_id) else ""
