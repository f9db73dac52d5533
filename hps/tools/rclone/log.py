"""What rclone really did, read from its own debug log (JSON, one object a line).

The lines that count, as rclone 1.70 to 1.75 writes them:

    multipart upload: starting chunk 3 size 10Mi offset 30Mi/200Mi        (number from 0)
    multipart upload wrote chunk 4 with 10485760 bytes and etag "…"       (number from 1)
    Starting multi-thread copy with 20 chunks of size 10Mi with 10 parallel streams
    multi-thread copy: chunk 4/20 (31457280-41943040) size 10Mi starting | finished
    Need to transfer - … ; Transferring unconditionally … ; [Multi-thread ]Copied (…)
    retrying request S3/UploadPart, attempt 2               (by the S3 library, in its log mode)
    low level retry 1/2 (…) ; Received error: … - low level retry 1/3
    Reopening on read failure after offset 65536 bytes: retry 1/3: …
    [Nov 30 12:00:00.917070] Retry: =====> Try=2 for PUT …   (by Azure's library, no JSON)

Of a file that travels whole, as one PUT or GET, the log has only that it was copied. A retry that
is given up before it is made, since another chunk has failed or the process is stopped, is not
counted. One kind of retry is in no log: Go's HTTP client repeats a GET or HEAD whose kept-alive
connection was reset before any answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps.tools import go
from hps.tools.arrivals import Arrival

_UP_START = re.compile(r"multipart upload: starting chunk (\d+) size ")
_UP_DONE = re.compile(r"multipart upload wrote chunk (\d+) with (\d+) bytes")
_DOWN_PLAN = re.compile(
    r"Starting multi-thread copy with (\d+) chunks of size (\S+) with (\d+) parallel streams"
)
_DOWN_CHUNK = re.compile(
    r"multi-thread copy: chunk (\d+)/(\d+) \((\d+)-(\d+)\) size \S+ (starting|finished)"
)
_FILE_START = ("Need to transfer", "Transferring unconditionally")
# By the S3 library, by rclone around it, of the whole file, and of a GET that was cut off.
# "retry 2/2" gives up instead.
_RETRY = re.compile(
    r"retrying request S3/\w+, attempt \d+$"
    r"|low level retry (\d+)/(?!\1\b)\d+ \("
    r"|Received error: .* - low level retry (\d+)/(?!\2\b)\d+$"
)
_REOPENING = re.compile(
    r"Reopening on read failure after offset (\d+) bytes: (?!.*context canceled)"
)
_NOT_REOPENED = re.compile(r"Reopen failed after offset (\d+) bytes read: .*context canceled")
# The reason of a retry, where the log has it.
_TROUBLE = re.compile(
    r"low level retry \d+/\d+ \(error (?P<pacer>.*)\)$"
    r"|Received error: (?P<file>.*) - low level retry \d+/\d+$"
    r"|Reopening on read failure after offset \d+ bytes: retry \d+/\d+: (?P<get>.*)"
)
# Azure's library writes what it does before a request is sent again, and that it is.
_TRY = re.compile(r"\[\w{3} [^\]]{1,24}\] Retry: (?:=====> Try=(?P<number>\d+) |(?P<trouble>.*))")
_TRIED_AGAIN = re.compile(r"(?:error (?P<error>.*)|response (?P<status>408|429|50[0234]))$")
_BEHIND = re.compile(
    r"(?:Couldn't check \".*?\" for children after HEAD failed \(.*?\): |"
    r"(?=Failed to update region for bucket: ))(.*)"
)
_COUNTS = re.compile(r"and: failed to delete \d+ files$")
_COPIED = re.compile(r"(?:Multi-thread )?Copied \(")
_STATS_INTERVAL_S = 0.5  # `--stats`


@dataclass(slots=True)
class RcloneLog:
    """The facts of one log. Times are UTC; sizes are bytes.

    `chunks` maps (object, chunk's number) to the chunk's size; `starts` and `ends` say when;
    `peak_streams` is the most of one file in flight at once. `peak_files` is the most files that
    rclone's half-second statistics saw in flight at once; `unchanged_looks` how often these were
    the same as half a second before although others waited; `overlap_s` is for how long, in all,
    more than one chunk (of whole files: more than one file) was in flight. `trouble` is the reason
    of the last retry that has one, `crash` the line of Go's runtime as it ended the process.
    `behind` explains more than the last error where that is of a HEAD, whose answer has no text;
    `not_aborted` is why an upload that was given up is still there. `silent_s` is the longest time
    by which a line came late, once files move: each half second has statistics.
    """

    chunks: dict[tuple[str, int], int] = field(default_factory=dict)
    streams: int | None = None
    starts: dict[tuple[str, int], datetime] = field(default_factory=dict)
    ends: dict[tuple[str, int], datetime] = field(default_factory=dict)
    peak_in_flight: int = 0
    peak_streams: int = 0
    peak_files: int = 0
    unchanged_looks: int = 0
    retries: int = 0
    copied: int = 0
    bytes: int | None = None
    first_chunk_at: datetime | None = None
    first_file_at: datetime | None = None
    last_error: str = ""
    crash: str = ""
    behind: str = ""
    not_aborted: str = ""
    trouble: str = ""
    deleted: int = 0
    overlap_s: float = 0.0
    silent_s: float = 0.0
    _files: frozenset[str] = frozenset()
    _wanted: int = 0
    _last_line_at: datetime | None = None
    _overlaps_since: datetime | None = None
    _reopening: list[str] = field(default_factory=list)
    _in_flight: set[tuple[str, int]] = field(default_factory=set)

    @property
    def chunk_size_bytes(self) -> int | None:
        """The size of every chunk but each file's last; None where they differ or none was seen."""
        last: dict[str, int] = {}
        for name, number in self.chunks:
            last[name] = max(number, last.get(name, 0))
        sizes = {size for (name, n), size in self.chunks.items() if n != last[name] or n == 1}
        return sizes.pop() if len(sizes) == 1 else None

    def chunk_sizes(self) -> tuple[int, ...]:
        """Each chunk size that was seen, the largest first."""
        return tuple(sorted(set(self.chunks.values()), reverse=True))


def read(path: Path) -> RcloneLog:
    """The facts of a log on disk. Lines that are not JSON are skipped, but for a crash."""
    with path.open("rb") as stream:
        return parse(stream)


def parse(lines: Iterable[bytes]) -> RcloneLog:
    """The facts of a log's lines."""
    log = RcloneLog()
    for line in lines:
        if not line.startswith(b"{"):
            _read_plain(log, line)
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line that a kill cut off
        if isinstance(entry, dict):
            _read_entry(log, entry)
    return log


def read_arrival(line: bytes, folder: str = "") -> Arrival | None:
    """The bytes of a download that a line says are in their file, which is named below `folder`.

    A chunk is logged as finished once all its bytes are in the file.
    """
    # Most lines are about something else, and reading JSON takes time from what is measured.
    if not line.startswith(b"{") or (b" finished" not in line and b"Copied (" not in line):
        return None
    entry = json.loads(line)
    name, message = "/".join(filter(None, (folder, entry.get("object")))), str(entry.get("msg", ""))
    if (match := _DOWN_CHUNK.match(message)) and match[5] == "finished":
        return Arrival(name=name, start=int(match[3]), stop=int(match[4]))
    return Arrival(name=name) if _COPIED.match(message) else None


def _read_plain(log: RcloneLog, line: bytes) -> None:
    """rclone's first line can come before JSON logging starts; its runtime's last are plain."""
    log.crash = log.crash or go.crash(line)
    if not line.startswith(b"[") or not (found := _TRY.match(line.decode(errors="replace"))):
        return
    log.retries += int(found["number"] or 0) > 1
    why = _TRIED_AGAIN.match(found["trouble"] or "")
    if why:
        log.trouble = why["error"] or f"the server answered {why['status']}"


def _read_entry(log: RcloneLog, entry: Mapping[str, object]) -> None:
    message = str(entry.get("msg", ""))
    stats = entry.get("stats")
    if log._last_line_at is not None or isinstance(stats, dict) or message.startswith(_FILE_START):
        _count_silence(log, _time(str(entry.get("time", ""))))
    if isinstance(stats, dict):
        _read_stats(log, stats, str(entry.get("time", "")))
    elif "chunk" in message:
        _read_chunk(log, message, str(entry.get("object", "")), str(entry.get("time", "")))
    elif message.startswith(_FILE_START):
        log._wanted += 1
        log.first_file_at = log.first_file_at or _time(str(entry.get("time", "")))
    elif _COPIED.match(message):
        log.copied += 1
    elif message == "Deleted":
        log.deleted += 1
    _read_retry(log, message)
    if message.startswith("Failed to cancel multipart upload: "):
        log.not_aborted = message
    if found := _BEHIND.match(message):
        log.behind = found[1]
    if _is_cause(entry.get("level"), message, log):
        log.last_error = message


def _read_retry(log: RcloneLog, message: str) -> None:
    log.retries += _RETRY.match(message) is not None
    if match := _REOPENING.match(message):
        log.retries += 1
        log._reopening.append(match[1])
    elif (match := _NOT_REOPENED.match(message)) and match[1] in log._reopening:
        log.retries -= 1
        log._reopening.remove(match[1])
    trouble = _TROUBLE.match(message)
    if trouble:
        log.trouble = next(text for text in trouble.groups() if text is not None)


def _is_cause(level: object, message: str, log: RcloneLog) -> bool:
    """An error, but not the last one, which only counts; a notice only where there is no error."""
    if level in {"error", "critical"}:
        return not (log.last_error and _COUNTS.search(message))
    return message.startswith("Failed to ") and not log.last_error


def _read_stats(log: RcloneLog, stats: Mapping[str, object], time: str) -> None:
    moved = stats.get("bytes")
    transferring = stats.get("transferring")
    log.bytes = moved if isinstance(moved, int) else log.bytes
    files = len(transferring) if isinstance(transferring, list) else 0
    _read_files(log, transferring if isinstance(transferring, list) else [])
    log.peak_files = max(log.peak_files, files)
    if not log.chunks and not log._in_flight:
        _count_overlap(log, files, _time(time))


def _read_files(log: RcloneLog, transferring: list[object]) -> None:
    names = frozenset(str(one.get("name")) for one in transferring if isinstance(one, dict))
    waited = log._wanted - log.copied > len(names)
    log.unchanged_looks += bool(names) and waited and names == log._files
    # A file that only now began to wait may be started before the next look.
    log._files = names if waited else frozenset()


def _read_chunk(log: RcloneLog, message: str, name: str, time: str) -> None:
    if match := _UP_START.match(message):
        _start(log, (name, int(match[1]) + 1), time)
    elif match := _UP_DONE.match(message):
        _finish(log, (name, int(match[1])), int(match[2]), time)
    elif match := _DOWN_CHUNK.match(message):
        key = (name, int(match[1]))
        if match[5] == "starting":
            _start(log, key, time)
        else:
            _finish(log, key, int(match[4]) - int(match[3]), time)
    elif match := _DOWN_PLAN.match(message):
        log.streams = max(log.streams or 0, int(match[3]))


def _start(log: RcloneLog, key: tuple[str, int], time: str) -> None:
    log._in_flight.add(key)
    log.peak_in_flight = max(log.peak_in_flight, len(log._in_flight))
    of_file = sum(name == key[0] for name, _ in log._in_flight)
    log.peak_streams = max(log.peak_streams, of_file)
    at = _time(time)
    if at is not None:
        log.starts[key] = at
    if log.first_chunk_at is None:
        log.first_chunk_at = at
        log.overlap_s, log._overlaps_since = 0.0, None  # files that wait were hashed, not moved
    _count_overlap(log, len(log._in_flight), at)


def _finish(log: RcloneLog, key: tuple[str, int], size_bytes: int, time: str) -> None:
    log._in_flight.discard(key)
    log.chunks[key] = size_bytes
    at = _time(time)
    if at is not None:
        log.ends[key] = at
    _count_overlap(log, len(log._in_flight), at)


def _count_overlap(log: RcloneLog, in_flight: int, at: datetime | None) -> None:
    if log._overlaps_since is not None and at is not None:
        log.overlap_s += (at - log._overlaps_since).total_seconds()
    log._overlaps_since = at if in_flight > 1 else None


def _count_silence(log: RcloneLog, at: datetime | None) -> None:
    if log._last_line_at is not None and at is not None:
        late_s = (at - log._last_line_at).total_seconds() - _STATS_INTERVAL_S
        log.silent_s = max(log.silent_s, late_s)
    log._last_line_at = at or log._last_line_at


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
