"""What rclone complains of, in words that say what the server or the network did.

rclone passes on the errors of Go, of Amazon's library and of its own, one inside the other:

    Attempt 1/1 failed with 1 errors and: multi-thread copy: failed to open source: operation error
    S3: GetObject, https response error StatusCode: 403, RequestID: …, HostID: …, api error
    AccessDenied: Access Denied

comes out as `the server answered 403 AccessDenied to GetObject: Access Denied`. What is not known
here is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# What a log line, and rclone's own layers, put before what went wrong.
_BEFORE = re.compile(
    r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d [A-Z]+ *: (?:[^:]{0,200}: (?=Failed|Couldn't|operation ))?"
    r"|^Attempt \d+/\d+ failed with \d+ errors and: "
    r"|^Failed to [\w -]+?(?: with \d+ errors: last error was)?: "
    r"|^command \"[\w-]+\" failed: |^list multipart uploads bucket .*?: (?=operation )"
    r"|^multi-thread copy: (?:failed to (?:write chunk|open source): )?"
    r"|^multipart upload: |^multipart upload failed to initialise: "
    r"|^create multipart upload failed: |^failed to finalise: |^internal error: "
    r"|^failed to complete multipart upload \"[^\"]*\": |^failed to reopen: |^error (?=operation )"
    r"|^Couldn't delete: "
)
_PART = re.compile(r"^failed to upload chunk (\d+) with \d+ bytes: ")
_S3 = re.compile(
    r"^operation error S3: (?P<what>\w+), "
    r"(?:exceeded maximum number of attempts, (?P<tries>\d+), )?"
    r"(?:https response error StatusCode: (?P<status>\d+), "
    r"RequestID: (?P<id>[^,]*), HostID: [^,]*, )?(?P<rest>.*)$",
    re.DOTALL,
)
_API = re.compile(r"^api error (?P<code>[^:]+): ?(?P<message>.*)$", re.DOTALL)
_SENDING = re.compile(r"^request send failed, ", re.DOTALL)
_URL = re.compile(r'^(?:Get|Head|Put|Post|Delete) "(?P<url>[^"]*)": ', re.IGNORECASE)
_ADDRESS = r"\[?[0-9a-zA-Z.:%-]+?\]?:\d+"
# What the network did, the first that fits. `{1}` is what the pattern's group found.
_NETWORK: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (r"lookup (\S+?)(?: on \S+)?: no such host", "the name {1} is not known (DNS)"),
        (r"lookup (\S+?)(?: on \S+)?: .*", "the name {1} could not be looked up (DNS)"),
        (rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*connection refused", "{1} refuses connections"),
        (rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*(?:i/o timeout|timed out)", "no answer from {1}"),
        (rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*unreachable", "no way leads to {1}"),
        (
            r"certificate is valid for (.*), not (\S+)",
            "the certificate is for {1}, not for {2}",
        ),
        (
            r"certificate is not valid for any names.*",
            "the certificate is for no name at all",
        ),
        (
            r"cannot validate certificate for (\S+) because it doesn't contain any IP SANs",
            "the certificate is not for {1}",
        ),
        (
            r"certificate signed by unknown authority",
            "the certificate is signed by an authority that is not known here "
            "(`ca_cert` of the target names one)",
        ),
        (
            r"certificate has expired or is not yet valid.*",
            "the certificate has expired, or a clock is wrong",
        ),
        (r"x509: (.*)", "the certificate is not accepted: {1}"),
        (r"server gave HTTP response to HTTPS client", "the port speaks HTTP, not HTTPS"),
        (r"tls: (.*)", "TLS failed: {1}"),
        (r"stopped after (\d+) redirects", "it was redirected {1} times, and no further"),
        (r"malformed HTTP.*", "what answered is no HTTP server"),
        (r"connection reset by peer", "the connection was reset"),
        (
            r"broken pipe|use of closed network connection",
            "the connection was closed while data was being sent",
        ),
        (r"(?:^|: )unexpected EOF$", "the connection ended in the middle of the answer"),
        (r"(?:^|: )EOF$|server closed idle connection", "the connection was closed unanswered"),
        (r"(?:i/o timeout|Client\.Timeout|deadline exceeded|timeout awaiting).*", "no answer came"),
        (r"transport connection broken: (.*)", "the answer is no proper HTTP: {1}"),
    )
)
# What rclone itself found, the first that fits the beginning.
_FOUND: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (
            r'corrupted on transfer: (\w+) hashes differ src\(.*?\) "(\w*)" vs dst\(.*?\) "(\w*)"',
            "corrupted on its way: the {1} of what came is {3}, not {2}",
        ),
        (
            r"corrupted on transfer: sizes differ src\(.*?\) (\d+) vs dst\(.*\) (\d+)",
            "corrupted on its way: {2} bytes came, not {1}",
        ),
        (
            r"expected to write (\d+) bytes for chunk \d+, but wrote (\d+) bytes",
            "the server sent {2} bytes for a range of {1}",
        ),
        (
            r"no UploadId in multipart upload: .*",
            "the server's answer to CreateMultipartUpload is none of S3's",
        ),
        (r"object not found", "the server says that the object is not there"),
        (r"directory not found", "the server says that the folder is not there"),
        (r"is a file not a directory", "the server says that the folder is an object"),
    )
)
_LONGEST = 4000
_HINTS: Mapping[str, str] = {
    "RequestTimeTooSkewed": "is this machine's clock right?",
    "The difference between the request time and": "is this machine's clock right?",
    "403 Forbidden": "the keys, their rights, or this machine's clock",
}


def in_words(said: str) -> str:
    """On one line, without Go's and rclone's wrappings; the same where nothing of it is known."""
    text = "".join(c if c.isprintable() else " " for c in said[:_LONGEST])
    text = " ".join(text.split())
    while found := _BEFORE.match(text):
        text = text[found.end() :]
    part = _PART.match(text)
    if part:
        return f"part {part[1]}: {in_words(text[part.end() :])}"
    text = text[max(0, text.find("operation error S3: ")) :]
    told = _first(_FOUND, text, at_start=True) or _of_s3(text) or _network(text) or text
    hint = next((hint for word, hint in _HINTS.items() if word in told), "")
    return f"{told} ({hint})" if hint else told


def _of_s3(text: str) -> str:
    found = _S3.match(text)
    if not found:
        return ""
    what, status, rest = found["what"], int(found["status"] or 0), found["rest"]
    unread = "deserializ" in rest  # an answer came, and it is not the network that is at fault
    told = "" if unread else _network(_SENDING.sub("", rest))
    if told or not status:
        return f"{what}: {told or rest}"
    api = _API.match(rest)
    code, message = (api["code"], api["message"]) if api else ("", "its text is none of S3's")
    answered = f"the server answered {status} {code}".rstrip() + f" to {what}"
    said = f": {message}" if message and message != code else ""
    request = f" [request {found['id']}]" if found["id"] else ""
    return f"{answered}{said}{request}"


def _network(text: str) -> str:
    return _first(_NETWORK, _URL.sub("", text), at_start=False)


def _first(table: tuple[tuple[re.Pattern[str], str], ...], text: str, *, at_start: bool) -> str:
    for pattern, words in table:
        found = pattern.match(text) if at_start else pattern.search(text)
        if found:
            return words.format(found[0], *found.groups())
    return ""
