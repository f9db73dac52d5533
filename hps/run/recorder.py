"""Stores each record of a run: in the journal, and in the bucket; and reports it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.redaction import Scrubber
from hps.results.journal import Journal
from hps.results.lock import RunLock
from hps.results.record import Record, RunIdentity, result_record, utc_text
from hps.run.session import Listener, Session
from hps.steps.context import RunStop
from hps.targets.sender import HEARTBEAT_S, BucketCopy
from hps.tools import serve_courier


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes each record, without secrets, to the journal, and now and then sends that."""

    journal: Journal
    bucket: BucketCopy
    scrubber: Scrubber
    listener: Listener

    def append(self, record: Record) -> None:
        """Write a record to the disk, then report it. Raises `NotStoredError`."""
        clean = self.scrubber.record(record)
        with self.bucket.paused():
            self.keep()
            self.journal.append(clean)
        self.listener.stored(clean)
        self.bucket.send_now_and_then(self.journal.path)

    def keep(self) -> None:
        """Restore the journal where somebody has removed it. Raises `NotStoredError`."""
        with self.bucket.paused():
            restored = self.journal.keep()
        if restored:
            self.listener.event("journal_put_back", path=str(self.journal.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockNote:
    """What the lock says of a run, for one that finds it there after this one was ended."""

    lock: RunLock
    identity: RunIdentity
    scratch: Path
    scrubber: Scrubber
    listener: Listener

    def write(self, **fields: object) -> None:
        """Write which run has the lock, and `fields`, in place of what it says."""
        run_id, scratch = self.identity.run_id, str(self.scratch)
        self.lock.record(run_id=run_id, scratch=scratch, **fields)

    def start(self, operation: Operation) -> None:
        """Write that an operation begins now, then report it."""
        at = utc_text(datetime.now(UTC))
        record = _interrupted_result(self.identity, operation, at)
        self.write(
            operation_id=operation.operation_id,
            operation_started_at=at,
            if_interrupted=self.scrubber.record(record),
        )
        self.listener.started(operation)


def _interrupted_result(identity: RunIdentity, operation: Operation, started_at: str) -> Record:
    """The result of an operation that begins now, should the run be ended in it.

    From the lock the next run can store it without knowing the plan.
    """
    ended = failure("stopped", "hps was ended while it ran")
    measurement = Measurement(status="interrupted", failure=ended, started_at=started_at)
    return result_record(identity, operation, measurement)


@contextlib.contextmanager
def bucket_copy(session: Session, machine_folder: str) -> Iterator[BucketCopy]:
    """A sender of files to a machine's folder in the bucket, for the length of a `with` block."""
    tools, event = session.tools, session.listener.event
    target = tools.targets[session.results_target]
    with serve_courier(
        target, tools.scratch, tools.binary, dict(tools.secrets), tools.guard
    ) as courier:
        copy = BucketCopy(
            courier=courier,
            folder=f"{session.bucket_folder}/{machine_folder}",
            report=lambda name, reason: event(name, reason=reason),
            stop=session.stop,
        )
        if session.member is not None:
            copy.renew_s = HEARTBEAT_S
        yield copy


def publish(
    journal: Path,
    bucket: BucketCopy,
    render: Callable[[Path], Mapping[str, str]],
    stop: RunStop,
    *,
    most_s: float | None = None,
) -> str:
    """Send the journal; write the CSV and the table beside it, and send those too.

    Returns why the bucket lacks any, or nothing. `most_s` is the time for the journal, and again
    for the others; None: each try has its own time-out.
    """
    not_stored = bucket.send_all([journal], wait=stop.wait, most_s=most_s)
    paths = []
    try:
        for suffix, text in render(journal).items():
            path = journal.with_suffix(suffix)
            path.write_text(text, encoding="utf-8", newline="")
            paths.append(path)
    except OSError as error:
        not_stored = not_stored or f"no table could be written: {error}"
    return not_stored or bucket.send_all(paths, wait=stop.wait, most_s=most_s)
