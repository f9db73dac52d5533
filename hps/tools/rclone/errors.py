"""rclone's error messages -> a failure: a code that programs test, and words for people.

rclone passes on the errors of Go, of Amazon's library and of its own, one inside the other:

    Attempt 1/1 failed with 1 errors and: multi-thread copy: failed to open source: operation error
    S3: GetObject, https response error StatusCode: 403, RequestID: …, HostID: …, api error
    AccessDenied: Access Denied

comes out as `no_permission`: `the server answered 403 AccessDenied to GetObject: Access Denied`.
Azure's library says so over several lines, with the method of the request for the call's name.
What is not known here is passed on as it is, as `tool_failed`. Nothing outside this package reads
these texts again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.model import Failure
from hps.tools import go

# What a log line, and rclone's own layers, put before what went wrong.
_BEFORE = re.compile(
    r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d [A-Z]+ *: (?:[^:]{0,200}: (?=Failed|Couldn't|operation ))?"
    r"|^[^\s:]{1,200}: (?=Failed to )|^S3 bucket [^:]{1,2000}: |^failed to read source: "
    r"|^Attempt \d+/\d+ failed with \d+ errors and: "
    r"|^Failed to [\w -]+?(?: with \d+ errors: last error was)?: "
    r"|^command \"[\w-]+\" failed: |^list multipart uploads bucket .*?: (?=operation )"
    r"|^multi-thread copy: (?:failed to (?:write chunk|open source): )?"
    r"|^Failed to update region for bucket: "
    r"|^multipart upload: |^multipart upload failed to initialise: "
    r"|^create multipart upload failed: |^failed to finalise: |^internal error: "
    r"|^Failed to cancel multipart upload: |^failed to abort multipart upload \"[^\"]*\": "
    r"|^failed to complete multipart upload \"[^\"]*\": |^failed to reopen: |^error (?=operation )"
    r"|^Couldn't delete: |^Failed to create file system for \"[^\"]*\": "
    r"|^error reading source root directory: |^error in ListJSON: "
)
_PART = re.compile(r"^failed to upload chunk (\d+) with \d+ bytes: ")
# `PUT https://… RESPONSE 404: 404 The specified container does not exist. ERROR CODE: …`.
_AZURE = re.compile(
    r"(?P<method>[A-Z]+) https?://\S+ -{10,} "
    r"RESPONSE (?P<status>\d{3}):? (?:\d{3} )?(?P<message>.*?)\.? "
    r"ERROR CODE(?:: (?P<code>\w+)| UNAVAILABLE)"
)
# Where a message begins that goes on in the next lines.
_AZURE_BEGINS = re.compile(r"(?:GET|HEAD|PUT|POST|DELETE) https?://\S+$")
# Microsoft Entra ID, which gives service principals their tokens.
_NO_TOKEN = re.compile(r"AADSTS\d+: .*?(?=\.? Trace ID|\.? (?:-{10,})|\"|$)")
_NO_KEY = re.compile(r"decode account key: (.*)$")
# What rclone itself found, the first that fits the beginning.
_FOUND: go.Table = tuple(
    (re.compile(pattern, re.DOTALL), code, words)
    for pattern, code, words in (
        (
            r'corrupted on transfer: (\w+) hashes differ src\(.*?\) "(\w*)" vs dst\(.*?\) "(\w*)"',
            "corrupted",
            "corrupted on its way: the {1} of what came is {3}, not {2}",
        ),
        (
            r"corrupted on transfer: sizes differ src\(.*?\) (\d+) vs dst\(.*\) (\d+)",
            "truncated",
            "corrupted on its way: {2} bytes came, not {1}",
        ),
        (
            r"expected to write (\d+) bytes for chunk \d+, but wrote (\d+) bytes",
            "truncated",
            "the server sent {2} bytes for a range of {1}",
        ),
        (
            r"no UploadId in multipart upload: .*",
            "bad_endpoint",
            "the server's answer to CreateMultipartUpload is none of S3's",
        ),
        (
            r"[Ff]ailed to read last modified",
            "bad_endpoint",
            "the server's answer to HeadObject is none of S3's",
        ),
        (
            r"can't set region to \"([\w-]+)\" as endpoint is set",
            "wrong_region",
            "the bucket is in another region: {1}",
        ),
        (r"max transfer limit reached", "stopped", "as much was moved as was allowed"),
        (
            r"(?:\S+ is a directory or doesn't exist: )?object not found",
            "not_found",
            "the server says that the object is not there",
        ),
        (r"directory not found", "not_found", "the server says that the folder is not there"),
        (r"is a file not a directory", "not_found", "the server says that the folder is an object"),
    )
)
_LONGEST = 4000
_ROLE = (
    "give it the role Storage Blob Data Contributor, or a SAS the permissions racwdl; a wrong key, "
    "an expired token and the account's firewall are answered alike"
)
_KEY = "check the account, and its key or token"
_PRINCIPAL = "check the service principal's tenant, client and secret"


def explain(message: str) -> Failure:
    """The failure of a message, without Go's and rclone's wrappings; `tool_failed` if unknown."""
    text = "".join(c if c.isprintable() else " " for c in message[:_LONGEST])
    text = " ".join(text.split())
    while found := _BEFORE.match(text):
        text = text[found.end() :]
    part = _PART.match(text)
    if part:
        inner = explain(text[part.end() :])
        return inner.with_text(f"part {part[1]}: {inner.text}")
    text = text[max(0, text.find("operation error S3: ")) :]
    return (
        go.first(_FOUND, text, at_start=True)
        or go.amazon(text)
        or _of_azure(text)
        or go.network(text)
        or go.machine(text)
        or failure("tool_failed", text)
    )


def _of_azure(text: str) -> Failure | None:
    if found := _NO_TOKEN.search(text):
        return failure("bad_credentials", f"no token was given: {found[0]}", hint=_PRINCIPAL)
    if found := _NO_KEY.search(text):
        words = f"the account key is no base64: {found[1]}"
        return failure("bad_credentials", words, hint=_KEY)
    found = _AZURE.search(text)
    if not found:
        return None
    status, error = int(found["status"]), found["code"] or ""
    code = failures.meaning(status, error, found["message"], is_s3=bool(error))
    words = f"the server answered {status} {error}".rstrip()
    words = f"{words} to {found['method']}: {found['message'] or 'no more'}"
    hint = {"no_permission": _ROLE, "bad_credentials": _KEY}.get(code)
    return failure(code, words, hint=hint)


# -------------------------------------------------------------------------------------------------
# The errors of a call: in its log, or by its exit code.

_REASON_LENGTH = 400
_TIMED = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
_PLAIN_ERROR = re.compile(r"\d{4}/\d\d/\d\d \S+ ERROR ")
_NOTHING_MOVED = 9
# https://rclone.org/docs/#exit-code
_EXIT_CODES: Mapping[int, str] = {
    1: "other error",
    2: "usage",
    3: "directory not found",
    4: "file not found",
    5: "temporary error",
    6: "less serious error",
    7: "fatal error",
    8: "transfer limit reached",
    9: "nothing transferred",
    10: "time limit reached",
}


def of_exit_code(code: int, last_error: str, behind: str) -> Failure:
    """Why rclone ended with this code, by its last error.

    `behind` is an earlier message that explains more than the answer to a HEAD, which has no text.
    """
    if code == _NOTHING_MOVED:
        return failure("not_found", "nothing was transferred: what was to be moved is not there")
    why, more = explain(last_error), explain(behind)
    if behind and why.call.startswith("Head") and more.code != "no_permission":
        why = more  # an answer to HEAD has no text
    name, detail = _EXIT_CODES.get(code, "unknown"), why.text[:_REASON_LENGTH]
    return why.with_text(f"rclone exit code {code} ({name}): {detail or 'it said nothing'}")


def repeated(retries: int, trouble: str) -> str:
    """Words to add where requests were repeated: how many, and why the last one; else empty."""
    if retries <= 0:
        return ""
    words = f"; {retries} requests were repeated" if retries > 1 else "; 1 request was repeated"
    return f"{words}, since {explain(trouble).text[:_REASON_LENGTH]}" if trouble else words


def last_failure(log: str) -> Failure | None:
    """The first error of a plain log, else its last line; None where the log is empty."""
    lines = _messages(log)
    return _first_error(lines) or (explain(_bare(lines[-1])) if lines else None)


def last_words(log: str) -> str:
    """The text of the first error of a plain log, else of its last line."""
    lines = _messages(log)
    return _bare(next(filter(_PLAIN_ERROR.match, lines), lines[-1] if lines else ""))


def first_failure(log: str) -> Failure | None:
    """The first error of a plain log; None where there is none."""
    return _first_error(_messages(log))


def _messages(log: str) -> list[str]:
    """The messages of a plain log: its lines, but that one of Azure's library takes several."""
    found: list[str] = []
    for line in log.strip().splitlines():
        if found and not _TIMED.match(line) and _AZURE_BEGINS.search(found[-1].partition(" --")[0]):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found


def _first_error(lines: Iterable[str]) -> Failure | None:
    return next((explain(_bare(line)) for line in lines if _PLAIN_ERROR.match(line)), None)


def _bare(line: str) -> str:
    """A line of a plain log without its time."""
    if found := _AZURE.search(line):
        return line[found.start() :]
    _, operation, rest = line.partition("operation error ")
    return operation + rest if operation else line.rsplit(" : ", maxsplit=1)[-1]
