"""rclone as a tool. The bucket's client uses it as well, whichever tool is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from hps.catalog.failures import failure
from hps.catalog.tools import declared
from hps.errors import HpsError
from hps.model import Applied, Failure, Observed, Operation, Settings, Transfer
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.tools.arrivals import ArrivalsByLine
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, errors
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.log import RcloneLog
from hps.tools.rclone.remote import remote_of
from hps.units import format_size


class Rclone:
    """Fits `hps.tools.base.Tool`."""

    name = command.NAME

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_RCLONE`, else the one installed with this package, else the one on PATH."""
        try:
            program = command.find_binary(env)
            return Installed(program=program, version=command.read_version(program))
        except HpsError as error:
            return Missing(why=error.message, how_to_get=error.hint)

    def call(self, job: Job) -> Invocation:
        """`copyto` of one file, `copy` of a folder, or `sync`."""
        remote, folder = remote_of(job.target), job.name is None
        size_bytes, settings = job.size_bytes, job.settings
        if job.movement == "upload":
            return command.upload(
                remote, job.path, job.key, settings, size_bytes=size_bytes, folder=folder
            )
        if job.movement == "download":
            return command.download(remote, job.key, job.path, settings, folder=folder)
        if job.movement == "sync_up":
            return command.sync_up(remote, job.local, job.folder, settings, size_bytes=size_bytes)
        return command.sync_down(remote, job.key, job.local, settings)

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """By its log; by one stream a file comes as one plain GET."""
        # The log names a lone file without its folder.
        folder = (running.job.name or "").rpartition("/")[0]
        return ArrivalsByLine(
            path=running.log,
            read=partial(rclone_log.read_arrival, folder=folder),
            partial="{}.*.partial",
            grows=running.streams == 1,
        )

    def read(self, ran: Ran) -> Evidence:
        """By its log, which names every chunk, and its connections."""
        log, operation = rclone_log.read(ran.log), ran.operation
        applied = effective(log, operation, offers_http2=ran.offers_http2)
        seen = observed(log, operation, ran.counter)
        return Evidence(
            effective=applied,
            observed=seen,
            wrong=why_invalid(log, operation, applied, seen),
            setup_s=setup_s(log, operation, ran.ended),
            retries=log.retries,
            repeated=errors.repeated(log.retries, ran.clean(log.trouble)),
            crash=ran.clean(log.crash),
            silent_s=log.silent_s,
        )

    def explain(self, ran: Ran) -> Failure:
        """By its exit code and its last error."""
        log = rclone_log.read(ran.log)
        message = ran.clean(_last_words(log, ran.log, ran.operation))
        return errors.of_exit_code(ran.ended.returncode, message, ran.clean(log.behind))


def _last_words(log: RcloneLog, path: Path, operation: Operation) -> str:
    """A call that moves no payload may complain before its log is one for programs."""
    if log.last_error or operation.requested is not None:
        return log.last_error
    return errors.last_words(path.read_text(errors="replace"))


# -------------------------------------------------------------------------------------------------
# Declared is delivered: compare what was asked for with what rclone's log and sockets show.
#
# An operation whose knobs were not applied as requested is `invalid`, and never a number. One over
# a link so fast that fewer chunks than allowed are ever in flight is valid: `observed` has how many
# there were, and what was applied is unknown.
#
# Whether rclone moved fewer chunks, or files, at once than it was to.
#
# That fewer were seen is no proof by itself: a chunk may be gone before the next one is read. It is
# proved where chunks take long, are read at once, and yet each waits for another one to end.

# A chunk that takes so long is seen by several looks at the connections, and many lines of the log.
_LONG_CHUNK_S = 0.2
# The next chunk has to follow within this share of the time that a chunk takes. A slow disk is not
# expected to be so quick by accident, at each of several chunks.
_QUICK_SHARE = 1 / 8
_ENOUGH_GAPS = 4
# How often the same files were in flight half a second later, though others waited.
_ENOUGH_UNCHANGED_LOOKS = 2

_Event = tuple[datetime, bool]


def too_few_streams(log: RcloneLog, asked: int) -> bool:
    """True where fewer chunks of a file than `asked` were in flight though more were ready."""
    times = [list(_events(log, name)) for name in {name for name, _ in log.starts}]
    gaps_s = [gap_s for events in times for gap_s, _ in _gaps(events)]
    reading_s = [gap_s for events in times for gap_s, after_start in _gaps(events) if after_start]
    chunks_s = [(log.ends[k] - log.starts[k]).total_seconds() for k in log.ends if k in log.starts]
    if log.peak_streams >= asked or len(gaps_s) < _ENOUGH_GAPS or not chunks_s:
        return False
    chunk_s = median(chunks_s)
    quick_s = chunk_s * min(_QUICK_SHARE, 1 / asked, 1 / (2 * log.peak_streams))
    most_s = quantiles(gaps_s, n=5)[-1]  # of four in five: a machine hesitates now and then
    while_there_was_room_s = median(reading_s) if reading_s else 0.0
    return chunk_s >= _LONG_CHUNK_S and max(most_s, while_there_was_room_s) <= quick_s


def too_few_files(log: RcloneLog, asked: int) -> bool:
    """True where fewer files than `asked` were in flight though others waited."""
    return log.peak_files < asked and log.unchanged_looks >= _ENOUGH_UNCHANGED_LOOKS


def _events(log: RcloneLog, name: str) -> Iterator[_Event]:
    """When chunks of a file began (true) and ended (false)."""
    moments = [(at, True) for (file, _), at in log.starts.items() if file == name]
    moments += [(at, False) for (file, _), at in log.ends.items() if file == name]
    yield from sorted(moments)


def _gaps(events: Sequence[_Event]) -> Iterator[tuple[float, bool]]:
    """How long after the last event each chunk began, and whether that was a beginning, too."""
    for (before, was_start), (at, is_start) in pairwise(events):
        if is_start:
            yield (at - before).total_seconds(), was_start


# -------------------------------------------------------------------------------------------------
# What was applied and seen, and whether that is what was asked for.

# With fewer looks at the connections, or a shorter time with several chunks in flight, having seen
# only one connection proves nothing: over HTTP/1.1 a chunk that waits for a connection of its own
# takes that of a chunk which ends meanwhile.
_ENOUGH_SAMPLES = 5
_ENOUGH_OVERLAP_S = 1.0


def effective(log: RcloneLog, operation: Operation, *, offers_http2: bool | None) -> Applied | None:
    """The knobs as rclone applied them; None where the log shows no payload at all."""
    requested, planned = operation.requested, operation.effective
    if requested is None or planned is None or (not log.chunks and not log.copied):
        return None
    knobs, told = operation.cell.knobs, declared(requested, planned)
    return Applied(
        chunk_size_bytes=_chunk_size(log, knobs.size_bytes),
        concurrency=_concurrency(log, told.concurrency),
        transfers=_proved(log.peak_files, told.transfers),
        http2=told.http2 and offers_http2 is not False,
        checksum=told.checksum,
    )


def observed(log: RcloneLog, operation: Operation, counter: ConnectionCounter) -> Observed:
    """Chunks, how many at once, connections. None for what could not be seen."""
    knobs = operation.cell.knobs
    whole = not log.chunks
    single = knobs.files == 1 and log.copied == 1
    return Observed(
        chunks=len(log.chunks) or (log.copied or None),
        chunk_size_bytes=_chunk_size(log, knobs.size_bytes) if log.chunks or log.copied else None,
        peak_in_flight=(1 if single else log.peak_files or None) if whole else log.peak_in_flight,
        connections=counter.most_at_once,
        connection_samples=counter.samples,
        bytes=log.bytes,
    )


def setup_s(log: RcloneLog, operation: Operation, ended: Exit) -> float | None:
    """Seconds from the start of the process to when rclone began the first request with payload.

    None for files that are uploaded whole: rclone does not log when it has finished hashing.
    """
    first = log.first_chunk_at
    if first is None and operation.direction == "down":
        first = log.first_file_at
    if first is None:
        return None
    seconds = (first - ended.started_at).total_seconds()
    return seconds if 0 <= seconds <= ended.duration_s else None


def why_invalid(
    log: RcloneLog, operation: Operation, effective: Applied | None, observed: Observed
) -> Failure | None:
    """Why what happened is not what was asked for; None where it is."""
    asked, planned = operation.requested, operation.effective
    if asked is None or planned is None:
        return None
    if effective is None:
        return failure("not_as_declared", "rclone's log shows no transfer")
    told = declared(asked, planned)
    checks = (
        _wrong_amount(log, operation),
        _wrong_chunks(log, told, effective),
        _wrong_files(log, told, effective),
        _wrong_streams(log, told, effective),
        _wrong_http(log, asked, planned, effective, observed),
    )
    reasons = "; ".join(reason for reason in checks if reason)
    return failure("not_as_declared", reasons) if reasons else None


def _chunk_size(log: RcloneLog, size_bytes: int) -> int:
    if not log.chunks:
        return size_bytes
    return log.chunk_size_bytes or log.chunk_sizes()[0]


def _concurrency(log: RcloneLog, planned: int | None) -> int | None:
    """A download's log names the streams; an upload's shows at least how many there were."""
    if not log.chunks:
        return 1
    if log.streams is not None:
        return max(log.streams, log.peak_streams)
    return _proved(log.peak_streams, planned)


def _proved(seen: int, planned: int | None) -> int | None:
    """How many at once, where at least as many as planned were seen; fewer prove nothing: None."""
    return None if planned is None or max(1, seen) < planned else max(1, seen)


def _wrong_amount(log: RcloneLog, operation: Operation) -> str:
    knobs = operation.cell.knobs
    expected_bytes = knobs.size_bytes * knobs.files
    if log.copied != knobs.files:
        return f"rclone copied {log.copied} of {knobs.files} files"
    if log.bytes is not None and log.bytes < expected_bytes:
        return f"rclone moved {log.bytes} of {expected_bytes} bytes"
    return ""


def _wrong_chunks(log: RcloneLog, asked: Settings, effective: Applied) -> str:
    if asked.chunk_size_bytes is None:
        return ""
    if log.chunks and log.chunk_size_bytes is None:
        sizes = ", ".join(format_size(size) for size in log.chunk_sizes()[:4])
        return f"chunks of different sizes: {sizes}"
    was, wanted = effective.chunk_size_bytes, asked.chunk_size_bytes
    if was is not None and was != wanted:
        return f"chunks of {format_size(was)}, not of {format_size(wanted)}"
    return ""


def _wrong_files(log: RcloneLog, asked: Settings, effective: Applied) -> str:
    if asked.transfers is None:
        return ""
    transfers = effective.transfers
    if transfers is None and too_few_files(log, asked.transfers):
        transfers = log.peak_files
    if transfers not in {asked.transfers, None}:
        return f"{transfers} files at once, not {asked.transfers}"
    return ""


def _wrong_streams(log: RcloneLog, asked: Settings, effective: Applied) -> str:
    if asked.concurrency is None:
        return ""
    if asked.chunk_size_bytes is None:  # there may be fewer chunks
        too_many = log.peak_streams > asked.concurrency
        return f"{log.peak_streams} streams a file, not {asked.concurrency}" if too_many else ""
    concurrency = effective.concurrency
    if concurrency is None and too_few_streams(log, asked.concurrency):
        concurrency = log.peak_streams
    if concurrency not in {asked.concurrency, None}:
        return f"{concurrency} streams a file, not {asked.concurrency}"
    return ""


def _wrong_http(
    log: RcloneLog, asked: Settings, planned: Transfer, effective: Applied, observed: Observed
) -> str:
    if asked.http2 and not effective.http2:
        return "HTTP/2 was asked for; the endpoint offers only HTTP/1.1"
    several = planned.concurrency * planned.transfers > 1 and log.overlap_s >= _ENOUGH_OVERLAP_S
    if asked.http2 is not False or not several or observed.connection_samples < _ENOUGH_SAMPLES:
        return ""
    if observed.connections == 1:
        return f"one connection carried {observed.peak_in_flight} streams"
    return ""
