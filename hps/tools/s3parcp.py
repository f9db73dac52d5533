"""s3parcp: Amazon's transfer manager for Go as a command, for one file or a folder.

Seen on the wire with 1.0.1: parts and ranges are as told, and so many of a file are in flight; a
download waits for its first range. Its one number is also that of files at once. Before a download
it lists twice and asks for the object's attributes: where the server tells the size of the object's
first part, that is the size of its ranges, and where it can't answer, the download fails.

Whatever signal ends it, the parts of an upload stay in the bucket, and what has come of a download
under its final name. Where a target has an address it signs for no region.

Of uploads it says nothing, so that they are known by their connections. `--verbose` would show
their requests too, but makes a second copy of each part to do so: that took more than twice the
processor time. Downloads have no body to be copied, and are read from there.
https://github.com/chanzuckerberg/s3parcp
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from hps.catalog.failures import failure
from hps.catalog.providers import MIB
from hps.catalog.tools import effective
from hps.model import Failure, Knobs
from hps.tools import go
from hps.tools.arrivals import ArrivalsByLine
from hps.tools.aws import access_from_go
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered
from hps.tools.invocation import Invocation, ask, flag

OLDEST = (1, 0, 1)
HOW_TO_GET = (
    f"install s3parcp {'.'.join(map(str, OLDEST))} or newer "
    "(https://github.com/chanzuckerberg/s3parcp/releases) and set HPS_S3PARCP to its path"
)
_MODULE = "github.com/chanzuckerberg/s3parcp"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)$")
_LEAST_PART_BYTES = 5 * MIB
_TRIES = 3
# In a `s3://` address what else stands in a key is written as %XX; `$` begins a name in plans.
_PLAIN = "/$!&'()*+,;=:@~"
_GET = re.compile(r"GET (\S+) HTTP/1\.1")
_RANGE = re.compile(r"Range: bytes=(\d+)-(\d+)")
_BEGIN = "s3parcp: "
_NOT_FOUND = "no object found at path "
_ATTRIBUTES = "GetObjectAttributes"
_NO_ATTRIBUTES = {"bad_answer", "bad_endpoint", "bad_request", "not_implemented"}
_REASON_LENGTH = 400


class S3parcp:
    """Fits `hps.tools.base.Tool`."""

    name = "s3parcp"

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_S3PARCP`, else the one on PATH."""
        program = env.get("HPS_S3PARCP") or shutil.which("s3parcp")
        if program is None:
            return Missing(why="there is no s3parcp on this machine", how_to_get=HOW_TO_GET)
        why = go.why_no_program(program)
        return Missing(why=why, how_to_get=HOW_TO_GET) if why else _ask_version(program)

    def call(self, job: Job) -> Invocation:
        """One file, or all files of a folder."""
        settings, is_up = job.settings, job.movement == "upload"
        args = (
            *flag("part-size", _part_bytes(job)),
            *flag("concurrency", _streams(job)),
            f"--max-retries={_TRIES}",
            *(("--checksum",) if is_up and settings.checksum else ()),
            *(() if is_up else ("--verbose",)),
            *(() if job.name else ("--recursive",)),
            *_ways(job),
        )
        access = access_from_go(job.target, "S3PARCP_S3_URL", http2=settings.http2)
        return Invocation(tool=self.name, args=args, access=access)

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """It names no file that is complete. By one stream a file comes range after range."""
        return ArrivalsByLine(
            path=running.out, read=lambda _: None, partial="{}", grows=running.streams == 1
        )

    def read(self, ran: Ran) -> Evidence:
        """Of a download by its log and its connections, of an upload by these alone."""
        is_up, log = ran.operation.direction == "up", _read(ran)
        seen = _uploaded(ran) if is_up else _downloaded(log, ran)
        return Evidence(
            effective=seen.applied(),
            observed=seen.observed(),
            wrong=seen.explain_difference(self.name),
            retries=None if is_up else log.repeated,
            repeated=_describe_repeats(log.repeated),
            crash=ran.clean(log.crash),
            proof="sockets" if is_up else "log",
        )

    def explain(self, ran: Ran) -> Failure:
        """By the last error that it wrote."""
        why = _explained(ran.clean(_complaint(ran.log)))
        detail = why.text[:_REASON_LENGTH] or "it said nothing"
        return why.with_text(f"s3parcp exit code {ran.ended.returncode}: {detail}")


# --- the program ---------------------------------------------------------------------------------


def _ask_version(program: str) -> Installed | Missing:
    """As it answers; what was built by `go install` only has what Go wrote into it."""
    built = go.module_version(program, _MODULE)
    if built is None:
        return Missing(why=f"{program} is no s3parcp", how_to_get=HOW_TO_GET)
    found = _VERSION.match(ask(program, "--version").strip()) or _VERSION.match(built)
    if found is None:
        why = f"{program} does not say which version of s3parcp it is"
        return Missing(why=why, how_to_get=HOW_TO_GET)
    version = ".".join(found.groups())
    if tuple(map(int, found.groups())) < OLDEST:
        why = f"{program} is s3parcp {version}, which is too old"
        return Missing(why=why, how_to_get=HOW_TO_GET)
    return Installed(program=program, version=version)


# --- the call ------------------------------------------------------------------------------------


def _part_bytes(job: Job) -> int | None:
    """A file of one part travels whole, but of an upload a smaller number is refused even then."""
    asked_bytes = job.settings.chunk_size_bytes
    if asked_bytes is None or job.movement != "upload":
        return asked_bytes
    return max(asked_bytes, _LEAST_PART_BYTES)


def _streams(job: Job) -> int | None:
    """So many files at once, and so many chunks of each: the plan has seen that one number does."""
    settings = job.settings
    if job.name or None in {settings.concurrency, settings.transfers}:
        return settings.concurrency if job.name else settings.concurrency or settings.transfers
    knobs = Knobs(
        target=job.target.name, tool=S3parcp.name, size_bytes=job.size_bytes, files=job.files
    )
    planned = effective(knobs, settings, "up" if job.movement == "upload" else "down")
    return max(planned.concurrency, planned.transfers)


def _ways(job: Job) -> tuple[str, str]:
    """Source and destination: a folder is named by its slash."""
    slash = "" if job.name else "/"
    place = "/".join(part for part in (job.target.bucket, job.target.folder, job.key) if part)
    there, here = f"s3://{quote(place, safe=_PLAIN)}{slash}", f"{job.path}{slash}"
    return (here, there) if job.movement == "upload" else (there, here)


# --- the evidence --------------------------------------------------------------------------------


@dataclass(slots=True)
class _SentRequests:
    """`sent` counts each request by its address and range; `chunks` has first and last byte."""

    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    chunks: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    crash: str = ""

    @property
    def repeated(self) -> int:
        """The number of requests that were sent again."""
        return sum(count - 1 for count in self.sent.values())


def _read(ran: Ran) -> _SentRequests:
    log = _SentRequests()
    for key in _requests(ran.log, log):
        log.sent[key] = log.sent.get(key, 0) + 1
        if asked := _RANGE.fullmatch(key[1]):
            log.chunks[key] = int(asked[1]), int(asked[2])
    return log


def _requests(path: Path, log: _SentRequests) -> Iterator[tuple[str, str]]:
    """The address and the range of each GET; an empty line ends the head of a request."""
    address = asked = ""
    with path.open("rb") as lines:
        for line in lines:
            log.crash = log.crash or go.crash(line)
            text = line.decode(errors="replace").rstrip("\r\n")
            if found := _GET.fullmatch(text):
                address, asked = found[1], ""
            elif address and _RANGE.fullmatch(text):
                asked = text
            elif address and not text:
                yield address, asked
                address = ""


def _uploaded(ran: Ran) -> Delivered:
    """It is silent: where it ended well, all files are there, each with the size of the cell's."""
    knobs, ended_well = ran.operation.cell.knobs, ran.ended.returncode == 0
    return Delivered(
        operation=ran.operation,
        counter=ran.counter,
        offers_http2=ran.offers_http2,
        files_bytes=(knobs.size_bytes,) * knobs.files if ended_well else (),
        chunks_bytes=None,
    )


def _downloaded(log: _SentRequests, ran: Ran) -> Delivered:
    """The log has no answers: what was in flight at once is known by the connections."""
    size_bytes, files = ran.operation.cell.knobs.size_bytes, dict[str, int]()
    chunks = []
    for (address, _), (first, last) in log.chunks.items():
        chunks.append(min(last + 1, size_bytes) - first)  # the last range ends where the file does
        files[address] = files.get(address, 0) + chunks[-1]
    return Delivered(
        operation=ran.operation,
        counter=ran.counter,
        offers_http2=ran.offers_http2,
        files_bytes=tuple(files.values()),
        chunks_bytes=tuple(chunks),
        peak_in_flight=min(1, len(chunks)),
        shows_ends=len(chunks) == 1,
        repeats=log.repeated,
    )


# --- what went wrong -----------------------------------------------------------------------------


def _describe_repeats(repeated: int) -> str:
    if repeated <= 0:
        return ""
    return "; 1 request was repeated" if repeated == 1 else f"; {repeated} requests were repeated"


def _complaint(path: Path) -> str:
    """Its last error, else the last line, such as one about a flag."""
    lines = [line.strip() for line in path.read_text(errors="replace").split("\n")]
    errors = [line for line in lines if line.startswith(_BEGIN)]
    last = (errors or [line for line in lines if line] or [""])[-1]
    return "".join(c if c.isprintable() else " " for c in last.removeprefix(_BEGIN))


def _explained(text: str) -> Failure:
    text = text[max(0, text.find("operation error S3: ")) :]
    if text.startswith(_NOT_FOUND):
        return failure("not_found", "the server says that the object is not there")
    why = go.amazon(text) or go.network(text) or go.machine(text) or failure("tool_failed", text)
    if why.call == _ATTRIBUTES and why.code in _NO_ATTRIBUTES:
        hint = f"s3parcp asks for {_ATTRIBUTES} before a download, which this server can't answer"
        return failure("not_implemented", why.text, hint=hint, call=why.call)
    if why.code == "wrong_region":
        return replace(why, hint="s3parcp signs for no region where the target has an endpoint")
    return why
