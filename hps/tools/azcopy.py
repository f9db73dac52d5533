"""azcopy: Microsoft's own program for Azure's Blob Storage, with a service principal alone.

A shared access signature would stand in an address, and so on its command line, where anybody can
read it; it takes no shared key for blobs. A principal's secret comes by the environment.

Seen on the wire with 10.32.2: blocks and ranges are as asked, and so many in flight at once, of all
files together. Its log has the head of every request and answer, with times in whole seconds; what
was in flight at once is known by the order of lines, and of downloads by its connections. It looks
every two seconds whether its work is done, so that its process lasts longer than that, by up to two
seconds: when it last moved anything is known by its connections.
https://learn.microsoft.com/azure/storage/common/storage-ref-azcopy
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.catalog.providers import GIB, MIB, address_of, owner_of
from hps.model import Failure, SecretRef
from hps.tools import go
from hps.tools.arrivals import ArrivalsByLine
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered, entries, entry_of
from hps.tools.invocation import Access, Invocation, ask

OLDEST = (10, 32, 2)
HOW_TO_GET = (
    f"install azcopy {'.'.join(map(str, OLDEST))} or newer (https://aka.ms/azcopy) and set "
    "HPS_AZCOPY to its path; it needs the library libsecret-1"
)
_VERSION = re.compile(r"azcopy version (\d+)\.(\d+)\.(\d+)")
_LOGS = "AZCOPY_LOG_LOCATION"
_PLANS = "AZCOPY_JOB_PLAN_LOCATION"
_LEAST_BUFFER_GIB = 0.5
_HEAD = re.compile(r"==> (OUTGOING REQUEST|REQUEST/RESPONSE) \(Try=(\d+)")
_LINE = re.compile(r"^   ([A-Z]+) (https?://\S+)$")
_LENGTH = re.compile(r"^   Content-Length: (\d+)$")
_RANGE = re.compile(r"^   x-ms-range: bytes=(\d+)-(\d+)$")
_STATUS = re.compile(r"^   RESPONSE Status: (\d{3})")
_FAILED = re.compile(r"(?:UPLOAD|DOWNLOAD)FAILED: \S+ : (?P<status>\d{3}) : (?P<text>.*)$")
_NO_TOKEN = re.compile(r"AADSTS\d+: [^\"]*?(?=\.? Trace ID|\"|$)")
_REASON_LENGTH = 400


class AzCopy:
    """Fits `hps.tools.base.Tool`."""

    name = "azcopy"

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_AZCOPY`, else the one on PATH."""
        program = env.get("HPS_AZCOPY") or shutil.which("azcopy")
        if program is None:
            return Missing(why="there is no azcopy on this machine", how_to_get=HOW_TO_GET)
        if not os.access(program, os.X_OK) or Path(program).is_dir():
            return Missing(why=f"'{program}' is no program", how_to_get=HOW_TO_GET)
        found = _VERSION.search(ask(program, "--version"))
        if found is None:
            return Missing(why=f"{program} does not answer like azcopy", how_to_get=HOW_TO_GET)
        version = ".".join(found.groups())
        if tuple(map(int, found.groups())) < OLDEST:
            why = f"{program} is azcopy {version}, which is too old"
            return Missing(why=why, how_to_get=HOW_TO_GET)
        return Installed(program=program, version=version)

    def call(self, job: Job) -> Invocation:
        """`copy` of one file, or of all files of a folder; its logs are in folders of the call."""
        address = str(address_of(job.target))
        # A token is given to nobody else otherwise.
        own = owner_of(address) == "azure"
        host = urlsplit(address).netloc
        args = (
            "copy",
            *_ways(job, address),
            *_direction(job),
            *(("--recursive",) if job.name is None else ()),
            *(() if own else (f"--trusted-microsoft-suffixes={host}",)),
            "--output-type=json",
            "--log-level=DEBUG",  # with the range, or the length, of each request
            "--skip-version-check",
        )
        return Invocation(tool=self.name, args=args, access=_access(job), folders=(_LOGS, _PLANS))

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """It tells of no file while it runs."""
        return ArrivalsByLine(path=running.out, read=lambda _: None, partial="{}", grows=False)

    def read(self, ran: Ran) -> Evidence:
        """By its log, its last report, and its connections."""
        log = _read(ran.out.parent / _LOGS)
        seen = _delivered(log, ran)
        return Evidence(
            effective=seen.applied(),
            observed=seen.observed(),
            wrong=seen.explain_difference(self.name),
            retries=log.repeated,
            repeated=_describe_repeats(log),
            crash=ran.clean(next(filter(None, map(go.crash, _lines(ran.log))), "")),
            moved_s=ran.counter.moved_s,
        )

    def explain(self, ran: Ran) -> Failure:
        """By the first transfer that failed, else by its last words."""
        failed = next(iter(_read(ran.out.parent / _LOGS).failed), "")
        why = _explained(ran.clean(failed or _last_words(ran)))
        detail = why.text[:_REASON_LENGTH] or "it said nothing"
        return why.with_text(f"azcopy exit code {ran.ended.returncode}: {detail}")


# --- the call ------------------------------------------------------------------------------------


def _ways(job: Job, address: str) -> tuple[str, str]:
    """Source and destination; all that is in a folder is named by a star."""
    target = job.target
    place = "/".join(part for part in (target.bucket, target.folder, job.key) if part)
    there, here, star = f"{address}/{quote(place)}", job.path, "" if job.name else "/*"
    return (f"{here}{star}", there) if job.movement == "upload" else (f"{there}{star}", here)


def _direction(job: Job) -> tuple[str, ...]:
    """Which way, and what was asked; what was not is left to azcopy."""
    chunk_bytes, checked = job.settings.chunk_size_bytes, job.settings.checksum
    mib = "" if chunk_bytes is None else f"{chunk_bytes / MIB:g}"
    block = (f"--block-size-mb={mib}",) if mib else ()
    if job.movement == "upload":
        whole = (f"--put-blob-size-mb={mib}",) if mib else ()  # a file of one chunk is one PUT
        md5 = ("--put-md5",) if checked else ()
        return ("--from-to=LocalBlob", "--blob-type=BlockBlob", *block, *whole, *md5)
    check = ("--check-md5=NoCheck",) if checked is False else ()
    return ("--from-to=BlobLocal", *block, *check)


def _access(job: Job) -> Access:
    """Nothing but these variables changes what it does: HOME, where it has settings, is empty."""
    target = job.target
    env = {
        "HOME": os.devnull,
        "AZCOPY_AUTO_LOGIN_TYPE": "SPN",
        **_pool(job),
        "AZCOPY_TUNE_TO_CPU": "false",
        "AZCOPY_DISABLE_HIERARCHICAL_SCAN": "true",  # one list, whatever the layout
        "AZCOPY_DISABLE_SYSLOG": "true",
        "GODEBUG": "http2client=0",
        **({"AZCOPY_ACTIVE_DIRECTORY_ENDPOINT": target.authority} if target.authority else {}),
        **({"SSL_CERT_FILE": target.ca_cert} if target.ca_cert else {}),
    }
    keys = {
        "AZCOPY_TENANT_ID": target.tenant_id,
        "AZCOPY_SPA_APPLICATION_ID": target.client_id,
        "AZCOPY_SPA_CLIENT_SECRET": target.client_secret,
    }
    secret_env: dict[str, SecretRef] = {
        name: reference for name, reference in keys.items() if reference is not None
    }
    return Access(target=target.name, env=env, secret_env=secret_env, ca_cert=target.ca_cert)


def _pool(job: Job) -> dict[str, str]:
    """How many requests are in flight, of all files together, as far as that was asked."""
    asked = job.settings
    files_at_once = asked.transfers if job.files > 1 else 1
    if asked.concurrency is None or files_at_once is None:
        return {}
    in_flight = asked.concurrency * files_at_once
    # With less memory it would have fewer in flight.
    buffer_gib = max(_LEAST_BUFFER_GIB, 2 * in_flight * (asked.chunk_size_bytes or 0) / GIB)
    pool = {"AZCOPY_CONCURRENCY_VALUE": str(in_flight)}
    return pool | ({"AZCOPY_BUFFER_GB": f"{buffer_gib:.3f}"} if asked.chunk_size_bytes else {})


# --- the evidence --------------------------------------------------------------------------------


@dataclass(slots=True)
class _LoggedHead:
    """The head of a request, or of the answer to it, while its lines are read."""

    is_answer: bool
    attempt: int
    method: str = ""
    address: str = ""
    asked: tuple[int, int] | None = None
    length: int = 0
    status: int = 0

    @property
    def moves(self) -> bool:
        """True for blocks, whole blobs, and what is downloaded."""
        query = parse_qs(urlsplit(self.address).query)
        about = query.get("comp", [""])[0]
        return self.method in {"PUT", "GET"} and about in {"", "block"} and "restype" not in query


@dataclass(slots=True)
class _AzCopyLog:
    """The facts of one log, as `s5cmd` has those of its trace.

    `chunks` maps each request with payload to the bytes asked for; None: all of an object.
    `failed` has what is said of each transfer that failed, `status` the last that was tried again.
    """

    sent: dict[tuple[str, object], int] = field(default_factory=dict)
    chunks: dict[tuple[str, object], int | None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    peak_in_flight: int = 0
    status: int = 0
    _in_flight: int = 0

    @property
    def repeated(self) -> int:
        """The number of requests that were sent again."""
        return sum(count - 1 for count in self.sent.values())

    def add(self, head: _LoggedHead) -> None:
        """Count a request, or the answer to one."""
        if head.is_answer:
            self._in_flight -= head.moves
            self.status = head.status if head.status >= 400 else self.status
            return
        key = (f"{head.method} {head.address}", head.asked)
        # Of one file it asks the head twice, and that is no repetition.
        if head.moves or head.attempt > 1:
            self.sent[key] = self.sent.get(key, 0) + 1
        if head.moves:
            asked = head.asked
            self.chunks[key] = asked[1] - asked[0] + 1 if asked else head.length or None
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)


def _read(folder: Path) -> _AzCopyLog:
    log = _AzCopyLog()
    for path in sorted(folder.glob("*.log")):
        for head in _heads(_text_lines(path), log.failed):
            log.add(head)
    return log


def _heads(lines: Iterable[str], failed: list[str]) -> Iterator[_LoggedHead]:
    """Each head, once its lines are over; `failed` takes what is said of failed transfers."""
    head: _LoggedHead | None = None
    for line in lines:
        if found := _FAILED.search(line):
            failed.append(found[0])
        if found := _HEAD.search(line):
            head = _LoggedHead(is_answer=found[1] != "OUTGOING REQUEST", attempt=int(found[2]))
        elif head is not None and line:
            _read_line(head, line)
        elif head is not None:
            yield head
            head = None
    if head is not None:
        yield head


def _read_line(head: _LoggedHead, line: str) -> None:
    if found := _LINE.match(line):
        head.method, head.address = found[1], found[2]
    elif found := _RANGE.match(line):
        head.asked = (int(found[1]), int(found[2]))
    elif found := _STATUS.match(line):
        head.status = int(found[1])
    elif (found := _LENGTH.match(line)) and not head.length:
        head.length = int(found[1])


def _delivered(log: _AzCopyLog, ran: Ran) -> Delivered:
    """The log lacks the ends of downloads: of those, connections are counted."""
    is_up = ran.operation.direction == "up"
    size_bytes = ran.operation.cell.knobs.size_bytes
    return Delivered(
        operation=ran.operation,
        counter=ran.counter,
        offers_http2=ran.offers_http2,
        files_bytes=_files_bytes(ran.out),
        chunks_bytes=tuple(size_bytes if size is None else size for size in log.chunks.values()),
        peak_in_flight=log.peak_in_flight,
        shows_ends=is_up or len(log.chunks) == 1,
        repeats=log.repeated,
    )


def _files_bytes(out: Path) -> tuple[int, ...]:
    """The bytes of each file that is done, all alike: the last report has only their sum."""
    report = next((one for kind, one in _reports(out) if kind == "EndOfJob"), {})
    files = int(str(report.get("TransfersCompleted") or 0))
    total = int(str(report.get("TotalBytesTransferred") or 0))
    if not files:
        return ()
    return (total - total // files * (files - 1), *[total // files] * (files - 1))


def _reports(out: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The kind and the content of each line of its output, where that is JSON itself."""
    for line in entries(out):
        content = entry_of(str(line.get("MessageContent", "")).encode())
        if content is not None:
            yield str(line.get("MessageType", "")), content


def _lines(path: Path) -> Iterable[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _text_lines(path: Path) -> Iterator[str]:
    return (line.decode(errors="replace").rstrip("\r\n") for line in _lines(path))


# --- what went wrong -----------------------------------------------------------------------------


def _describe_repeats(log: _AzCopyLog) -> str:
    if log.repeated <= 0:
        return ""
    what = "1 request was" if log.repeated == 1 else f"{log.repeated} requests were"
    since = f", since the server answered {log.status}" if log.status else ""
    return f"; {what} repeated{since}"


def _last_words(ran: Ran) -> str:
    """Its last error; where it could not even begin, what stands on its standard error."""
    errors = [
        str(line.get("MessageContent", ""))
        for line in entries(ran.out)
        if line.get("MessageType") == "Error"
    ]
    said = [line for line in _text_lines(ran.log) if line.strip()]
    return (errors or said or [""])[-1]


def _explained(text: str) -> Failure:
    if found := _NO_TOKEN.search(text):
        return failure("bad_credentials", f"no token was given: {found[0]}")
    if found := _FAILED.search(text):
        status, said = int(found["status"]), found["text"].strip()
        if status:
            code = failures.meaning(status, "", said)
            return failure(code, f"the server answered {status}: {said}")
        return go.network(said) or go.machine(said) or failure("tool_failed", said)
    if "The specified file was not found" in text:
        return failure("not_found", "the server says that the object is not there")
    return go.network(text) or go.machine(text) or failure("tool_failed", text)
