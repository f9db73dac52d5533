"""gsutil: Google's older command for its Cloud Storage, and for Amazon's S3.

Seen on the wire with 5.38: a file is one PUT and one GET, whatever it is told, also where it has
settings for more. With HMAC keys it uses Google's XML API, where it begins the upload of a file of
8 MiB or more by a POST. After an upload, and before a download, it asks for the object's head, and
compares the MD5. Several files come one after the other, or as many at once as it has threads.

It signs for hosts of Google's and Amazon's alone: its library finds no region in the names of
others, and where a port is named, a download from `gs://` ends in a `TypeError`. It says how many
files it has moved, and no request: what was in flight is known by its connections.

SIGTERM does not end it before its transfer does. What was not uploaded to its end is no object, and
what has not come down whole has a name that ends with `_.gstmp`.
https://cloud.google.com/storage/docs/gsutil
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.sax.saxutils import unescape

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.catalog.providers import address_of
from hps.model import Failure, SecretRef, Target
from hps.tools import go, python_program
from hps.tools.arrivals import ArrivalsByLine
from hps.tools.base import Evidence, Installed, Job, Missing, Ran, Running
from hps.tools.evidence import Delivered
from hps.tools.invocation import Access, Invocation, ask

OLDEST = (5, 38)
# It is built from source, and holds back other packages: in an environment of its own it can't.
HOW_TO_GET = (
    "install gsutil in an environment of its own (pipx install gsutil==5.38) and set HPS_GSUTIL "
    "to its path"
)
_VERSION = re.compile(r"gsutil version: (\d+)\.(\d+)\b")
_RETRIES = 2
_TIMEOUT_S = 60
_REASON_LENGTH = 400
_HOME = "HOME"
_DONE = re.compile(rb"Operation completed over (\d+) objects?/")


class Gsutil:
    """Fits `hps.tools.base.Tool`."""

    name = "gsutil"

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """`HPS_GSUTIL`, else the one installed with this Python, else the one on PATH."""
        program = env.get("HPS_GSUTIL") or python_program.find("gsutil")
        if program is None:
            return Missing(why="there is no gsutil on this machine", how_to_get=HOW_TO_GET)
        why = python_program.why_no_program(program)
        return Missing(why=why, how_to_get=HOW_TO_GET) if why else _ask_version(program)

    def call(self, job: Job) -> Invocation:
        """`cp` of one file, or of all files of a folder. Its own folder is one of the call's."""
        at_once = job.settings.transfers or 1
        args = (
            *(("-m",) if job.name is None and at_once > 1 else ()),
            *(word for option in _options(job) for word in ("-o", option)),
            "cp",
            *(("-r",) if job.name is None else ()),
            *_ways(job),
        )
        return Invocation(tool=self.name, args=args, access=_access(job.target), folders=(_HOME,))

    def arrivals(self, running: Running) -> ArrivalsByLine:
        """It names no file that is complete; each comes from its first byte to its last."""
        return ArrivalsByLine(
            path=running.out, read=lambda _: None, partial="{}_.gstmp", grows=True
        )

    def read(self, ran: Ran) -> Evidence:
        """By the number of files that it says are complete, and its connections.

        It gives no exact lengths: each file has that of the cell.
        """
        done = _DONE.findall(ran.log.read_bytes())
        files = int(done[-1]) if done else 0
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
        """By the last failure that it names."""
        log = ran.clean(ran.log.read_text(errors="replace"))
        call = "PutObject" if ran.operation.direction == "up" else "GetObject"
        why = _explained(_last_failure(log), (_CAUGHT.findall(log) or [""])[-1], call)
        detail = why.text[:_REASON_LENGTH] or "it said nothing"
        return why.with_text(f"gsutil exit code {ran.ended.returncode}: {detail}")


# --- the program ---------------------------------------------------------------------------------


def _ask_version(program: str) -> Installed | Missing:
    found = _VERSION.search(ask(program, "version"))
    if found is None:
        return Missing(why=f"{program} does not answer like gsutil", how_to_get=HOW_TO_GET)
    text = ".".join(found.groups())
    if tuple(map(int, found.groups())) < OLDEST:
        return Missing(why=f"{program} is gsutil {text}, which is too old", how_to_get=HOW_TO_GET)
    return Installed(program=program, version=text)


# --- the call ------------------------------------------------------------------------------------


def _access(target: Target) -> Access:
    """Keys by its library's own variables, and no file of settings."""
    of_google = target.provider == "gcs"
    begin = "GS" if of_google else "AWS"
    keys = {
        f"{begin}_ACCESS_KEY_ID": target.access_key_id,
        f"{begin}_SECRET_ACCESS_KEY": target.secret_access_key,
        "AWS_SECURITY_TOKEN": None if of_google else target.session_token,
    }
    secret_env: dict[str, SecretRef] = {
        name: reference for name, reference in keys.items() if reference is not None
    }
    # Without any of Google's keys it takes all refusals of Amazon's for a lack of keys.
    others = {} if of_google else {"GS_ACCESS_KEY_ID": "none", "GS_SECRET_ACCESS_KEY": "none"}
    return Access(
        target=target.name,
        env={"BOTO_CONFIG": os.devnull, **others},
        secret_env=secret_env,
        ca_cert=target.ca_cert,
    )


def _options(job: Job) -> list[str]:
    target, settings = job.target, job.settings
    url = urlsplit(address_of(target) or "")
    options = [
        "GSUtil:prefer_api=xml",  # the other one takes no HMAC keys
        "GSUtil:software_update_check_period=0",
        f"Boto:num_retries={_RETRIES}",
        f"Boto:http_socket_timeout={_TIMEOUT_S}",
        "Boto:debug=1",  # why a download is tried again, and no request
    ]
    if target.provider != "gcs":
        options += [f"Credentials:s3_host={url.hostname}", "s3:use-sigv4=True"]
    if url.scheme == "http":
        options += ["Boto:is_secure=False"]
    if target.ca_cert:
        options += [f"Boto:ca_certificates_file={target.ca_cert}"]
    if settings.checksum is not None:
        options += [f"GSUtil:check_hashes={'always' if settings.checksum else 'never'}"]
    if settings.transfers is not None:
        options += [
            "GSUtil:parallel_process_count=1",
            f"GSUtil:parallel_thread_count={settings.transfers}",
        ]
    return options


def _ways(job: Job) -> tuple[str, str]:
    """Source and destination: what ends with a slash is a folder, for which nothing is listed."""
    scheme = "gs" if job.target.provider == "gcs" else "s3"
    place = "/".join(part for part in (job.target.bucket, job.target.folder, job.key) if part)
    there, here = f"{scheme}://{place}", job.path
    if job.movement == "upload":
        folder = there.removesuffix(job.name.rpartition("/")[2]) if job.name else f"{there}/"
        return (here, folder) if job.name else (f"{here}/*", folder)
    return (there, here) if job.name else (f"{there}/*", f"{here}/")


# --- what went wrong -----------------------------------------------------------------------------

_NAMED = re.compile(r"(?:\w+\.)*(?P<kind>[A-Z]\w*(?:Exception|Error)): ?|AssertionError$")
_CAUGHT = re.compile(r"Caught exception \((.*)\)$", re.MULTILINE)
_REFUSED = re.compile(r"(?:\w+Exception): (?P<status>[1-5]\d\d) (?P<message>.*)")
_NOT_BEGUN = re.compile(
    r"Got (?:status|response code) (?P<status>\d+) (?:from attempt to start|while attempting)"
)
_ELEMENT = "<{0}>([^<]*)</{0}>"
_NO_BUCKET = re.compile(r"BucketNotFoundException: |NotFoundException: 404 The destination bucket")
_NO_OBJECT = re.compile(r"NotFoundException: 404 |CommandException: No URLs matched: (?:gs|s3)://")
_ELSEWHERE = "the keys, their rights, or this machine's clock"
# Python's own words for what the system, or its TLS, has refused.
_MACHINE: go.Table = tuple(
    (re.compile(pattern), code, words)
    for pattern, code, words in (
        (
            r"CERTIFICATE_VERIFY_FAILED\] certificate verify failed:? ?(.*?)(?: \(_ssl.*)?$",
            "bad_certificate",
            "the certificate is not accepted: {1}",
        ),
        (r"WRONG_VERSION_NUMBER", "bad_endpoint", "the port speaks no TLS, so not HTTPS"),
        (
            r"EOF occurred in violation|[Cc]onnection reset|ConnectionReset|RemoteDisconnected"
            r"|IncompleteRead|[Bb]roken ?[Pp]ipe|BadStatusLine|Connection aborted",
            "connection_lost",
            "the connection was lost",
        ),
        (r"Connection ?[Rr]efused", "refused", "the endpoint refuses connections"),
        (
            r"Name or service not known|name resolution|No address associated|gaierror",
            "name_unknown",
            "the name could not be looked up (DNS)",
        ),
        (r"OSError: None\.|[Tt]imed ?out|TimeoutError", "timeout", "no answer came"),
        (r"SSLError.*|\[SSL.*", "tls", "TLS failed: {0}"),
        (r"Tunnel connection failed: (.*)", "bad_proxy", "the proxy answered {1}"),
        (
            r"did not match computed MD5\. None",
            "bad_answer",
            "the answer does not name the MD5 of what was sent",
        ),
        (
            r"HashMismatchException|did not match computed MD5",
            "corrupted",
            "the MD5 of the file is not that of the object",
        ),
        (r"AssertionError", "bad_answer", "the answer has not what gsutil looks for"),
        (r"No space left on device|Disk quota exceeded", "disk_full", "{0}"),
        (r"Input/output error|Read-only file system", "disk_error", "{0}"),
        (r"Cannot allocate memory|MemoryError", "out_of_memory", "{0}"),
        (
            r"Too many resumable \w+ attempts failed",
            "unreachable",
            "each attempt failed, and it does not say why: hps check may",
        ),
    )
)


def _last_failure(log: str) -> str:
    """It, and what follows; progress may stand before it, in lines that end by a return."""
    lines = (line.strip() for line in re.split(r"[\r\n]", log))
    said = [line for line in lines if line]
    named = [number for number, line in enumerate(said) if _NAMED.match(line)]
    # Of several files, it ends with how many could not be moved.
    exact = [number for number in named if not said[number].startswith("CommandException: ")]
    return "\n".join(said[(exact or named or [-1])[-1] :])


def _explained(text: str, caught: str, call: str) -> Failure:
    """`caught`: what it caught last, of a download that it tried again."""
    if _NO_BUCKET.match(text):
        return failure("no_such_bucket", text.partition("\n")[0])
    if _NO_OBJECT.match(text):
        return failure("not_found", "the server says that the object is not there")
    if found := _NOT_BEGUN.search(text):
        return _not_begun(int(found["status"]))
    if found := _REFUSED.match(text):
        return _refused(int(found["status"]), found["message"], text, call)
    known = go.first(_MACHINE, caught, at_start=False) or go.first(_MACHINE, text, at_start=False)
    return known or failure("tool_failed", text.partition("\n")[0])


def _not_begun(status: int) -> Failure:
    """Of the answer to the start of an upload it tells the status alone."""
    code = "no_such_bucket" if status == 404 else failures.meaning(status, "", "")
    hint = _ELSEWHERE if status == 403 else None
    return failure(code, f"the server answered {status} to the start of the upload", hint=hint)


def _refused(status: int, first: str, text: str, call: str) -> Failure:
    """By the XML that follows its words; where none came, it was the answer to a HEAD."""
    error, message = (_element(name, text) for name in ("Code", "Message"))
    call = call if error or first != "None" else "HeadObject"
    why = go.refusal(call, status, error, message or error)
    more = f": {message}" if message not in {"", error} else ""
    return why.with_text(f"the server answered {status} {error}".rstrip() + f" to {call}{more}")


def _element(name: str, text: str) -> str:
    found = re.search(_ELEMENT.format(name), text)
    return unescape(found[1]).strip() if found else ""
