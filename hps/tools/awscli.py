"""The AWS CLI's `aws s3 cp`, version 1 or 2: Python with boto3's way to transfer files.

Seen on the wire with 1.46.3 and 2.9.19: parts, ranges and requests in flight are as its settings
say, which it takes from a file alone. A download asks for the object's head first; 1.46.3 then
waits for the first range. It names each file once it is complete, and no request: what was in
flight is known by its connections. `--debug` would show requests, for a tenth more processor time.

With `checksum`, 1.46.3 sends a CRC32, over TLS after the body. 2.9.19, older than that setting,
sends a Content-MD5 whatever is asked.
https://aws.amazon.com/cli/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Failure, Settings
from hps.tools import go, python_program
from hps.tools.arrivals import Arrival, ArrivalsByLine
from hps.tools.aws import access_to, is_host_style
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered
from hps.tools.invocation import Access, Invocation, ask

# Of each version, the oldest that was tried.
OLDEST: Mapping[int, tuple[int, int, int]] = {1: (1, 45, 11), 2: (2, 9, 19)}
HOW_TO_GET = (
    "install the AWS CLI (pip install 'hps[tools]', or https://aws.amazon.com/cli/) and set "
    "HPS_AWS to its path"
)
_VERSION = re.compile(r"aws-cli/(\d+)\.(\d+)\.(\d+)\b")
_RETRIES = 2
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_REASON_LENGTH = 400


class AwsCli:
    """Fits `hps.tools.base.Tool`."""

    name = "aws"

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_AWS`, else the one installed with this Python, else the one on PATH."""
        program = env.get("HPS_AWS") or python_program.find("aws")
        if program is None:
            return Missing(why="there is no aws on this machine", how_to_get=HOW_TO_GET)
        why = python_program.why_no_program(program)
        return Missing(why=why, how_to_get=HOW_TO_GET) if why else _ask_version(program)

    def call(self, job: Job) -> Invocation:
        """`s3 cp` of one file, or of all files of a folder, with a file of settings."""
        target = job.target
        access = access_to(target, _variables(job.settings))
        # Versions before 2.13 have no variable for the address.
        address = access.env.get("AWS_ENDPOINT_URL")
        args = (
            "s3",
            "cp",
            "--no-progress",  # a line for each file that is complete, and none more
            *(("--recursive",) if job.name is None else ()),
            *(("--no-sign-request",) if target.access_key_id is None else ()),
            *((f"--endpoint-url={address}",) if address else ()),
            f"--cli-connect-timeout={_CONNECT_TIMEOUT_S}",
            f"--cli-read-timeout={_READ_TIMEOUT_S}",
            *_ways(job),
        )
        return Invocation(
            tool=self.name,
            args=args,
            access=_without(access, "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"),
            files={"AWS_CONFIG_FILE": _config(job)},
        )

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """By its output, which names each file once it is complete."""
        return ArrivalsByLine(
            path=running.out,
            read=partial(_arrival, folder=_address(running.job, running.job.folder.key)),
            partial="{}.*",
            grows=False,
        )

    def read(self, ran: Ran) -> Evidence:
        """By the number of files that it says are complete, and its connections.

        It gives no lengths: each file has that of the cell.
        """
        done = b"upload: " if ran.operation.direction == "up" else b"download: "
        with ran.out.open("rb") as lines:
            files = sum(line.startswith(done) for line in lines)
        seen = Delivered(
            operation=ran.operation,
            counter=ran.counter,
            offers_http2=ran.offers_http2,
            files_bytes=(ran.operation.cell.knobs.size_bytes,) * files,
            chunks_bytes=None,
        )
        return Evidence(
            effective=seen.applied(),
            observed=seen.observed(),
            wrong=seen.explain_difference(self.name),
            retries=None,
            proof="sockets",
        )

    def explain(self, ran: Ran) -> Failure:
        """By the first error on its standard error."""
        why = _explain(ran.clean(_complaint(ran.log)))
        detail = why.text[:_REASON_LENGTH] or "it said nothing"
        return why.with_text(f"aws exit code {ran.ended.returncode}: {detail}")


# --- the program ---------------------------------------------------------------------------------


def _ask_version(program: str) -> Installed | Missing:
    found = _VERSION.match(ask(program, "--version"))
    if found is None:
        return Missing(why=f"{program} does not answer like the AWS CLI", how_to_get=HOW_TO_GET)
    version = tuple(map(int, found.groups()))
    text = ".".join(found.groups())
    if version < OLDEST.get(version[0], version):
        why = f"{program} is the AWS CLI {text}, which is too old"
        return Missing(why=why, how_to_get=HOW_TO_GET)
    return Installed(program=program, version=text)


# --- the call ------------------------------------------------------------------------------------


def _variables(settings: Settings) -> dict[str, str]:
    """The kind of checksum is named: its default varies with the version."""
    retries = {"AWS_MAX_ATTEMPTS": str(_RETRIES + 1), "AWS_RETRY_MODE": "standard"}
    if settings.checksum is None:
        return retries
    return retries | {
        "AWS_REQUEST_CHECKSUM_CALCULATION": (
            "when_supported" if settings.checksum else "when_required"
        ),
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def _without(access: Access, *names: str) -> Access:
    env = {name: value for name, value in access.env.items() if name not in names}
    return replace(access, env=env)


def _config(job: Job) -> str:
    """Its file of settings. All files share the requests in flight."""
    asked, several = job.settings, job.files > 1 and job.settings.transfers is not None
    chunk_bytes = asked.chunk_size_bytes
    settings = {
        # A file of one chunk travels whole.
        "multipart_threshold": None if chunk_bytes is None else chunk_bytes + 1,
        "multipart_chunksize": chunk_bytes,
        "max_concurrent_requests": asked.transfers if several else asked.concurrency,
        "addressing_style": "virtual" if is_host_style(job.target) else "path",
        "preferred_transfer_client": _engine(asked),
    }
    lines = (f"    {name} = {value}\n" for name, value in settings.items() if value is not None)
    return "".join(["[default]\n", "s3 =\n", *lines])


def _engine(asked: Settings) -> str | None:
    """Not Amazon's C runtime. Version 1 has nothing else, and newer ones call it `classic`, too.

    Where neither chunks nor streams are told, it is the tool's own choice.
    """
    is_told = (asked.chunk_size_bytes, asked.concurrency, asked.transfers) != (None, None, None)
    return "default" if is_told else None


def _address(job: Job, key: str) -> str:
    return "s3://" + "/".join(part for part in (job.target.bucket, job.target.folder, key) if part)


def _ways(job: Job) -> tuple[str, str]:
    """Source and destination."""
    slash = "" if job.name else "/"
    there, here = f"{_address(job, job.key)}{slash}", f"{job.path}{slash}"
    return (here, there) if job.movement == "upload" else (there, here)


# --- a download that runs -------------------------------------------------------------------------


def _arrival(line: bytes, folder: str) -> Arrival | None:
    """The file that a line such as `download: s3://bucket/key to ../path` says is complete."""
    text = line.decode(errors="replace")
    begin = f"download: {folder}/"
    if not text.startswith(begin):
        return None
    return Arrival(name=text.removeprefix(begin).partition(" to ")[0])


# --- what went wrong -----------------------------------------------------------------------------

_REFUSED = re.compile(
    r"An error occurred \((?P<error>[^)]*)\) when calling the (?P<call>\w+) operation"
    r"(?P<retried> \(reached max retries: \d+\))?: (?P<message>.*)"
)
_ERROR = re.compile(r"(?:(?:upload|download) failed|fatal error): ")
# Of why a connection was not made it says nothing.
_NETWORK: go.Table = tuple(
    (re.compile(pattern), code, words)
    for pattern, code, words in (
        (
            r"Failed to connect to proxy URL",
            "bad_proxy",
            "the proxy can't be reached, or does not let it through",
        ),
        (
            r'Could not connect to the endpoint URL: "(\w+://[^/"]*)',
            "unreachable",
            "{1} can't be reached",
        ),
        (
            r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed:? ?(.*?)(?: \(_ssl.*)?$",
            "bad_certificate",
            "the certificate is not accepted: {1}",
        ),
        (r"WRONG_VERSION_NUMBER", "bad_endpoint", "the port speaks no TLS, so not HTTPS"),
        (r"SSL validation failed for \S+ (.*)", "tls", "TLS failed: {1}"),
        (
            r"Connection was closed before we received a valid response|Connection broken"
            r"|error occurred while reading from response stream|Max Retries Exceeded",
            "connection_lost",
            "the connection was lost",
        ),
        (r"(?:Connect|Read) timeout on endpoint URL", "timeout", "no answer came"),
        (r"Unable to locate credentials", "bad_credentials", "it has no keys"),
        (r"Invalid endpoint: .*", "bad_endpoint", "{0}"),
        (r"(?:: | )'([A-Z]\w+)'$", "bad_answer", "the answer lacks {1}"),
        (r"No space left on device.*|Disk quota exceeded.*", "disk_full", "{0}"),
    )
)


def _complaint(log: Path) -> str:
    """The first line that speaks of a failure, else the last line: tracebacks may be around it."""
    lines = (line.strip() for line in log.read_text(errors="replace").splitlines())
    said = [line for line in lines if line]
    return next(filter(_ERROR.match, said), said[-1] if said else "")


def _explain(complaint: str) -> Failure:
    found = _REFUSED.search(complaint)
    if found is None:
        known = go.first(_NETWORK, complaint, at_start=False)
        return known or failure("tool_failed", complaint)
    error, call, message = found["error"], found["call"], found["message"].strip()
    if error.isdigit():  # an answer without text: the status, and the words that stand for it
        why = go.refusal(call, int(error), message.replace(" ", ""), message)
    else:
        # The status is not told; it tries only those again that are the server's fault.
        why = go.refusal(call, 503 if found["retried"] else 400, error, message or error)
    more = f": {message}" if message not in {"", error} else ""
    return why.with_text(f"the server answered {error} to {call}{more}")
