"""Python libraries as tools: each by a small program in `hps.runners`, in its own process.

A runner reports each request with payload, as far as its library shows them; the rest is known by
the connections. All keep one pool of requests for all files.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.model import Failure
from hps.tools import go
from hps.tools.arrivals import Arrival, ArrivalsByLine
from hps.tools.aws import access_to, is_host_style
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered, count_at_once, entries, entry_of
from hps.tools.invocation import Invocation, flag

HOW_TO_GET = "pip install 'hps[tools]'"
# Older ones can't be told when to add a checksum, which a comparison of settings needs.
_OLDEST = {"boto3": "1.36"}
_REASON_LENGTH = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """Fits `hps.tools.base.Tool`. `name` is that of the package, on PyPI and to be imported."""

    name: str

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """Whether this Python has it; its version is the package's."""
        if find_spec(self.name) is None:
            return Missing(why=f"this Python has no {self.name}", how_to_get=HOW_TO_GET)
        version, oldest = metadata.version(self.name), _OLDEST.get(self.name, "0")
        if _major_minor(version) < _major_minor(oldest):
            why = f"this Python's {self.name} is {version}, and {oldest} is the oldest that serves"
            return Missing(why=why, how_to_get=HOW_TO_GET)
        return Installed(program=sys.executable, version=version)

    def call(self, job: Job) -> Invocation:
        """Its runner, told all that the job says, and nothing that it doesn't."""
        settings, target = job.settings, job.target
        at_once = job.files > 1 and settings.transfers != 1
        flags = {
            "folder": job.name is None,
            "files-at-once": at_once,
            "host-style": is_host_style(target),
            "unsigned": target.access_key_id is None,
        }
        numbers = {
            "chunk-bytes": settings.chunk_size_bytes,
            "streams": settings.transfers
            if at_once and settings.transfers
            else settings.concurrency,
        }
        switches = {"checksum": settings.checksum, "http2": settings.http2}
        args = (
            "up" if job.movement == "upload" else "down",
            f"--bucket={target.bucket}",
            f"--key={'/'.join(part for part in (target.folder, job.key) if part)}",
            f"--path={job.path}",
            *(one for name, number in numbers.items() for one in flag(name, number)),
            *(f"--{name}" for name, is_set in (flags | switches).items() if is_set),
            *(f"--no-{name}" for name, is_set in switches.items() if is_set is False),
        )
        module = f"hps.runners.{self.name}_copy"
        return Invocation(tool=self.name, args=args, access=access_to(target), module=module)

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """By its reports, which name each file once it is complete."""
        return ArrivalsByLine(
            path=running.out,
            read=partial(_arrival, folder=running.job.local),
            partial="{}.*",
            grows=False,
        )

    def read(self, ran: Ran) -> Evidence:
        """By its runner's reports, and its connections."""
        reports = _read(ran.out)
        seen = _delivered(reports, ran)
        return Evidence(
            effective=seen.applied(),
            observed=seen.observed(),
            wrong=seen.explain_difference(self.name),
            setup_s=_setup_s(reports, ran),
            retries=reports.repeats if reports.shows_tries else None,
            repeated=_describe_repeats(reports.repeats),
            proof="sockets" if seen.chunks_bytes is None else "log",
        )

    def explain(self, ran: Ran) -> Failure:
        """By the error that its runner reported."""
        complaint = _complaint(ran)
        why = _explain(complaint)
        detail = " ".join(ran.clean(why.text).split())[:_REASON_LENGTH] or "it printed nothing"
        return why.with_text(f"{self.name} exit code {ran.ended.returncode}: {detail}")


def _major_minor(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


# --- what its runner reports ---------------------------------------------------------------------


@dataclass(slots=True)
class _Reports:
    """`chunks` has the bytes of each request with payload, the last where one was repeated.

    `intervals` are their begins and ends, without waiting before a repetition. Without
    `shows_tries` its library repeats requests in silence.
    """

    files_bytes: list[int] = field(default_factory=list)
    chunks: dict[str, int] = field(default_factory=dict)
    intervals: list[tuple[float, float]] = field(default_factory=list)
    first_sent_at: float = math.inf
    repeats: int = 0
    shows_tries: bool = False


def _read(path: Path) -> _Reports:
    reports = _Reports()
    for entry in entries(path):
        _read_entry(reports, entry)
    return reports


def _read_entry(reports: _Reports, entry: Mapping[str, Any]) -> None:
    size_bytes = int(entry.get("bytes", 0))
    if "file" in entry:
        reports.files_bytes.append(size_bytes)
        return
    reports.shows_tries |= "tries" in entry
    reports.repeats += int(entry.get("tries", 1)) - 1
    if "sent_s" in entry:
        sent_s, ended_s = float(entry["sent_s"]), float(entry["ended_s"])
        reports.intervals.append((sent_s, ended_s))
        reports.first_sent_at = min(reports.first_sent_at, float(entry["sent_at"]))
    if int(entry.get("status", 200)) >= 400:
        return
    what = str(entry.get("id", len(reports.chunks)))
    reports.repeats += what in reports.chunks
    reports.chunks[what] = size_bytes


def _delivered(reports: _Reports, ran: Ran) -> Delivered:
    return Delivered(
        operation=ran.operation,
        counter=ran.counter,
        offers_http2=ran.offers_http2,
        files_bytes=tuple(reports.files_bytes),
        chunks_bytes=tuple(reports.chunks.values()) or None,
        peak_in_flight=count_at_once(reports.intervals),
        shows_ends=bool(reports.intervals),
        repeats=reports.repeats,
    )


def _arrival(line: bytes, folder: str) -> Arrival | None:
    name = (entry_of(line) or {}).get("file")
    return None if name is None else Arrival(name=str(name).removeprefix(f"{folder}/"))


def _setup_s(reports: _Reports, ran: Ran) -> float | None:
    """Until the first request with payload, by the time of day: both processes see that alone."""
    if not reports.intervals:
        return None
    first_s = reports.first_sent_at - ran.ended.started_at.timestamp()
    return min(max(0.0, first_s), ran.ended.duration_s)


def _describe_repeats(repeats: int) -> str:
    if repeats <= 0:
        return ""
    return "; 1 request was repeated" if repeats == 1 else f"; {repeats} requests were repeated"


# --- what went wrong -----------------------------------------------------------------------------

# What the libraries say of the network, each in its own words: botocore's and Python's classes,
# the enums of Amazon's C runtime, Rust's hyper and rustls.
_NETWORK: go.Table = tuple(
    (re.compile(pattern, re.DOTALL), code, words)
    for pattern, code, words in (
        (
            r"ProxyError|ProxyConnectionError|PROXY_CONNECT|tunnel error",
            "bad_proxy",
            "the proxy does not let it through",
        ),
        (
            r"gaierror.*|DNS_INVALID_NAME|dns error.*|failed to lookup address",
            "name_unknown",
            "the name could not be looked up (DNS)",
        ),
        (
            r"ConnectionRefusedError.*|Connection refused|CONNECTION_REFUSED",
            "refused",
            "the endpoint refuses connections",
        ),
        (
            r"CERTIFICATE_VERIFY_FAILED|InvalidCertificate|NEGOTIATION_FAILURE",
            "bad_certificate",
            "the certificate is not accepted",
        ),
        (
            r"WRONG_VERSION_NUMBER|InvalidContentType",
            "bad_endpoint",
            "the port speaks no TLS, so not HTTPS",
        ),
        (r"SSLError.*|TLS_ERROR.*", "tls", "TLS failed"),
        (
            r"IncompleteMessage|IncompleteRead|ResponseStreamingError|ConnectionClosed"
            r"|CONNECTION_CLOSED|SOCKET_CLOSED|ConnectionReset|connection (?:reset|closed)"
            r"|RemoteDisconnected",
            "connection_lost",
            "the connection was lost",
        ),
        (
            r"TimeoutError|Timeout|TIMEOUT|timed out|TimedOut",
            "timeout",
            "no answer came",
        ),
        (r"No space left on device", "disk_full", "{0}"),
        (r"MemoryError|Cannot allocate memory", "out_of_memory", "there was no memory left"),
    )
)


def _complaint(ran: Ran) -> Mapping[str, Any]:
    """The last error that was reported; else the last line, as Python ends a traceback."""
    reported = [*entries(ran.log)][-1:]
    lines = ran.log.read_text(errors="replace").split("\n")
    message = next(filter(None, map(str.strip, reversed(lines))), "")
    return reported[0] if reported else {"message": message}


def _explain(complaint: Mapping[str, Any]) -> Failure:
    call, message = str(complaint.get("call", "")), str(complaint.get("message", ""))
    status, error = int(complaint.get("status") or 0), str(complaint.get("error", ""))
    if not status:
        kinds = " ".join(map(str, complaint.get("kinds", ())))
        text = f"{kinds} {error} {message}".strip()
        return go.first(_NETWORK, text, at_start=False) or failure("tool_failed", text)
    to = f" to {call}" if call else ""
    more = f": {message}" if message not in {"", error} else ""
    request = f" [request {complaint['request']}]" if complaint.get("request") else ""
    why = go.refusal(call, status, error, message or error)
    return why.with_text(f"the server answered {status} {error}{to}{more}{request}")
