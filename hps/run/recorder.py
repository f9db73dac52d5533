"""Where each record of a run goes: the journal, the bucket, and whoever watches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hps.model import Operation
from hps.redaction import Scrubber
from hps.results.journal import Journal
from hps.results.record import Record
from hps.run.environment import Tools
from hps.steps.context import RunStop
from hps.targets import sender
from hps.targets.sender import BucketCopy


class Listener(Protocol):
    """Who watches a run: the events, and each operation as it starts and ends."""

    def event(self, name: str, **fields: object) -> None:
        """Something happened that a person or a log wants to know of."""

    def started(self, operation: Operation) -> None:
        """This operation starts now."""

    def stored(self, record: Record) -> None:
        """This result is on disk."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Each record: without secrets, to the journal, then now and then to the bucket."""

    journal: Journal
    bucket: BucketCopy
    scrubber: Scrubber
    listener: Listener

    def append(self, record: Record) -> None:
        """Store one record. Raises `NotStoredError`."""
        clean = self.scrubber.record(record)
        self.keep()
        self.journal.append(clean)
        self.listener.stored(clean)
        self.bucket.send_now_and_then(self.journal.path)

    def keep(self) -> None:
        """See that the journal is where it belongs. Raises `NotStoredError`."""
        if self.journal.keep():
            self.listener.event("journal_put_back", path=str(self.journal.path))


@contextlib.contextmanager
def bucket_copy(
    target: str, folder: str, tools: Tools, listener: Listener, stop: RunStop
) -> Iterator[BucketCopy]:
    """What sends files to `folder` in the results' target, for the length of a `with` block."""
    remote = tools.remote(target)
    with sender.serve(
        remote, tools.scratch, tools.binary, dict(tools.secrets), tools.guard
    ) as running:
        yield BucketCopy(
            daemon=running,
            folder=folder,
            report=lambda name, reason: listener.event(name, reason=reason),
            stop=stop,
        )


def publish(
    journal: Path,
    bucket: BucketCopy,
    render: Callable[[Path], Mapping[str, str]],
    stop: RunStop,
    *,
    most_s: float | None = None,
) -> str:
    """Send the journal; write the CSV and the table beside it, and send those too.

    Returns why the bucket lacks any, or nothing. `most_s`: for the journal, then for the others.
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
