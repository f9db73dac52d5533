"""Finishes runs: all of their results are in the bucket, and none of their data.

An empty file beside a journal marks a run that is not finished. It is made before the run writes
anything, and removed once journal, CSV and table have reached the bucket and no bucket has data of
the run any more. However a run ends, the next run in the same folder finishes it.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from hps.errors import HpsError, NotStoredError
from hps.process import process
from hps.results.journal import Journal
from hps.run import recorder, resume
from hps.run.session import Session
from hps.run_folder import is_run_id, run_folder
from hps.targets import cleanup
from hps.targets.sender import BucketCopy

SUFFIX = ".open"
_SEND_MOST_S = 30.0
_REMOVE_TIMEOUT_S = 60.0
_REMOVE_FILE_S = 0.05


def mark_unfinished(journal: Path) -> None:
    """Mark a run that is about to begin, or to be resumed. Raises `NotStoredError`."""
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.with_suffix(SUFFIX).touch()
    except OSError as error:
        raise NotStoredError(
            f"cannot write results to {journal.parent}: {error.strerror}",
            "name a folder that can be written with --output",
        ) from error


def mark_finished(journal: Path) -> None:
    """Remove the mark of a run. Raises `NotStoredError`."""
    try:
        journal.with_suffix(SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        raise NotStoredError(f"cannot write to {journal.parent}: {error.strerror}") from error


def find_unfinished(folder: Path) -> list[Path]:
    """The journals of the marked runs in a folder, oldest first; some may not exist."""
    marks = sorted(folder.glob(f"*{SUFFIX}"))
    return [
        mark.with_suffix(".jsonl")
        for mark in marks
        if is_run_id(mark.stem) and stat.S_ISREG(mark.lstat().st_mode)
    ]


def publish_earlier(
    session: Session, journals: Sequence[Path], unread: str | None = None
) -> dict[str, str]:
    """Finish earlier runs of this machine. Returns why the bucket lacks results, by the run's id.

    `unread` is why the bucket's journals could not be read, and is empty where they were; None:
    they are read again, for the bucket may have more than is here. Never raises where results can't
    be sent, for this run can begin all the same.
    """
    if not journals:
        return {}
    if unread is None:
        unread = resume.fetch(session, f"/{session.home.name}/*.jsonl")
    if unread:
        return {journal.stem: unread for journal in journals}
    try:
        return _finish(session, journals)
    except HpsError as error:
        return {journal.stem: error.message for journal in journals}


def _finish(session: Session, journals: Sequence[Path]) -> dict[str, str]:
    """Finish the runs; after one that can't be sent the others are not tried."""
    lacking: dict[str, str] = {}
    wrong = ""
    with recorder.bucket_copy(session, session.home.name) as bucket:
        for journal in journals:
            wrong = wrong or _send(session, journal, bucket)
            if wrong:
                lacking[journal.stem] = wrong
            elif remove_leftovers(session, journal.stem, session.stop):
                _report_elsewhere(session, journal)
                mark_finished(journal)
    return lacking


def _send(session: Session, journal: Path, bucket: BucketCopy) -> str:
    """Send a run's results. Returns why the bucket lacks any, or nothing."""
    if session.stop.is_set():
        return "the run was stopped before they were sent"
    if not journal.is_file():
        return ""
    with Journal(journal):
        pass  # opening removes a line that was cut off, and a journal without lines
    ours = resume.read(journal)
    theirs = resume.read(session.fetched / journal.parent.name / journal.name)
    event = session.listener.event
    if ours is None:
        if journal.is_file():
            why = f"{journal} can't be read as results, and is not sent"
            event("earlier_run_unreadable", run_id=journal.stem, reason=why)
        return ""
    if theirs is not None and len(theirs.ended) > len(ours.ended):
        return ""  # another machine has resumed this run
    wrong = recorder.publish(journal, bucket, session.render, session.stop, most_s=_SEND_MOST_S)
    if not wrong:
        event("results_sent_later", run_id=journal.stem)
    return wrong


def _report_elsewhere(session: Session, journal: Path) -> None:
    """Report the targets of a run that the experiment no longer has: they can't be cleaned here."""
    read = resume.read(journal)
    then = read.run.get("targets") if read is not None else None
    now = {_place(asdict(target)) for target in session.plan.spec.targets.values()}
    places = then if isinstance(then, Mapping) else {}
    for name, target in places.items():
        known = not isinstance(target, Mapping) or _place(target) in now
        if not known and target.get("provider") != "embedded":
            why = f"{name} was another place: `hps clean` with the file of that run looks there"
            session.listener.event("earlier_run_elsewhere", run_id=journal.stem, reason=why)


def remove_leftovers(session: Session, run_id: str, stop: process.Stop) -> bool:
    """Remove what a run left in its own folder of each target. True where nothing remains."""
    spec, operations = session.plan.spec, session.plan.operations
    names = {operation.cell.knobs.target for operation in operations}
    # The results' target is checked before a run, also where no operation uses it.
    names |= {spec.node.probe.target or "", spec.results.target} - {""}
    most_files = max((operation.cell.knobs.files for operation in operations), default=1)
    folder = run_folder(spec.name, run_id)
    done = [
        cleanup.remove(
            session.tools.link(name, folder.key, stop),
            timeout_s=_REMOVE_TIMEOUT_S + _REMOVE_FILE_S * most_files,
            stop=stop,
            event=session.listener.event,
        )
        for name in sorted(names)
        if spec.targets[name].provider != "embedded"
    ]
    return all(done)


def _place(target: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(str(target.get(name)) for name in ("endpoint", "bucket", "folder"))
