"""What rclone complains of -> a failure: a code that programs test, and words for people.

rclone passes on the errors of Go, of Amazon's library and of its own, one inside the other:

    Attempt 1/1 failed with 1 errors and: multi-thread copy: failed to open source: operation error
    S3: GetObject, https response error StatusCode: 403, RequestID: …, HostID: …, api error
    AccessDenied: Access Denied

comes out as `no_permission`: `the server answered 403 AccessDenied to GetObject: Access Denied`.
What is not known here is passed on as it is, as `tool_failed`. Nothing outside this package reads
these texts again.
"""

from __future__ import annotations

import http
import re
from collections.abc import Mapping
from dataclasses import replace

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.model import Failure

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
_S3 = re.compile(
    r"^operation error S3: (?P<what>\w+), "
    r"(?:exceeded maximum number of attempts, \d+, )?(?P<skew>Probable clock skew error: )?"
    r"(?:https response error StatusCode: (?P<status>\d+), "
    r"RequestID: (?P<id>[^,]*), HostID: [^,]*, )?(?P<rest>.*)$",
    re.DOTALL,
)
_API = re.compile(r"^api error (?P<code>[^:]+): ?(?P<message>.*)$", re.DOTALL)
_SENDING = re.compile(r"^request send failed, ", re.DOTALL)
_URL = re.compile(r'^(?:Get|Head|Put|Post|Delete) "(?P<url>[^"]*)": ', re.IGNORECASE)
_ADDRESS = r"\[?[0-9a-zA-Z.:%-]+?\]?:\d+"
# What the network did, the first that fits. `{1}` is what the pattern's group found.
_Table = tuple[tuple[re.Pattern[str], str, str], ...]
_NETWORK: _Table = tuple(
    (re.compile(pattern, re.DOTALL), code, words)
    for pattern, code, words in (
        (r"Proxy Authentication Required", "bad_proxy", "the proxy wants a user and a password"),
        (
            # The servers of names have answered: there is none. Where none answers, see below.
            r"lookup (\S+?)(?: on \S+)?: no such host",
            "bad_endpoint",
            "the name {1} is not known (DNS)",
        ),
        (
            r"lookup (\S+?)(?: on \S+)?: .*",
            "name_unknown",
            "the name {1} could not be looked up (DNS)",
        ),
        (
            rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*connection refused",
            "refused",
            "{1} refuses connections",
        ),
        (
            rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*(?:i/o timeout|timed out)",
            "timeout",
            "no answer from {1}",
        ),
        (
            rf"dial tcp (?:[^>]*->)?({_ADDRESS}): .*unreachable",
            "unreachable",
            "no way leads to {1}",
        ),
        (
            r"certificate is valid for (.*), not (\S+)",
            "bad_certificate",
            "the certificate is for {1}, not for {2}",
        ),
        (
            r"certificate is not valid for any names.*",
            "bad_certificate",
            "the certificate is for no name at all",
        ),
        (
            r"cannot validate certificate for (\S+) because it doesn't contain any IP SANs",
            "bad_certificate",
            "the certificate is not for {1}",
        ),
        (
            r"certificate signed by unknown authority",
            "bad_certificate",
            "the certificate is signed by an authority that is not known here",
        ),
        (
            r"certificate has expired or is not yet valid.*",
            "tls",
            "the certificate has expired, or a clock is wrong",
        ),
        (r"x509: (.*)", "tls", "the certificate is not accepted: {1}"),
        (
            r"server gave HTTP response to HTTPS client",
            "bad_endpoint",
            "the port speaks HTTP, not HTTPS",
        ),
        (
            r"first record does not look like a TLS handshake",
            "bad_endpoint",
            "the port speaks no TLS, so not HTTPS",
        ),
        (
            # A provider's front that has no such host under its own name ends the handshake.
            r"tls: (handshake failure|unrecognized name)",
            "bad_endpoint",
            "TLS failed: {1}, as where the server has no such host",
        ),
        (r"tls: (.*)", "tls", "TLS failed: {1}"),
        (
            r"stopped after (\d+) redirects",
            "bad_endpoint",
            "it was redirected {1} times, and no further",
        ),
        (r"malformed HTTP.*", "bad_endpoint", "what answered is no HTTP server"),
        (r"connection reset by peer", "connection_lost", "the connection was reset"),
        (
            r"broken pipe|use of closed network connection",
            "connection_lost",
            "the connection was closed while data was being sent",
        ),
        (
            r"(?:^|: )unexpected EOF$",
            "connection_lost",
            "the connection ended in the middle of the answer",
        ),
        (
            r"(?:^|: )EOF$|server closed idle connection",
            "connection_lost",
            "the connection was closed unanswered",
        ),
        (
            r"(?:i/o timeout|Client\.Timeout|deadline exceeded|timeout awaiting).*",
            "timeout",
            "no answer came",
        ),
        (r"transport connection broken: (.*)", "bad_answer", "the answer is no proper HTTP: {1}"),
    )
)
# What rclone itself found, the first that fits the beginning.
_FOUND: _Table = tuple(
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
# What the machine refused, wherever in a message that stands.
_MACHINE: _Table = tuple(
    (re.compile(pattern, re.DOTALL), code, "{0}")
    for pattern, code in (
        (r".*no space left on device.*|.*disk quota exceeded.*", "disk_full"),
        (r".*(?:input/output error|read-only file system).*", "disk_error"),
        (r".*(?:cannot allocate memory|out of memory).*", "out_of_memory"),
    )
)
_LONGEST = 4000
_OTHER_REGION = re.compile(r"expecting '([\w-]+)'|expected: '(?:[^/']*/){1,2}([\w-]+)/s3/")
_CLOCK = "or this machine's clock is wrong"
_NO_S3 = "no S3 server answers so: correct the endpoint, or see to a firewall in between"
_REFUSALS = {status.phrase.lower() for status in http.HTTPStatus if status >= 400}
# With these an S3 server says more than the status, unless it was asked by HEAD.
_NEVER_BARE = {400, 403, 404, 405}
_HEAD_HINTS: Mapping[int, tuple[str, str]] = {
    301: ("wrong_region", "the bucket is in another region"),
    400: ("wrong_region", "the region is wrong, or the session has expired"),
    403: ("no_permission", "the keys, their rights, or this machine's clock"),
}


def explain(said: str) -> Failure:
    """On one line, without Go's and rclone's wrappings; the same where nothing of it is known."""
    text = "".join(c if c.isprintable() else " " for c in said[:_LONGEST])
    text = " ".join(text.split())
    while found := _BEFORE.match(text):
        text = text[found.end() :]
    part = _PART.match(text)
    if part:
        inner = explain(text[part.end() :])
        return inner.told(f"part {part[1]}: {inner.text}")
    text = text[max(0, text.find("operation error S3: ")) :]
    return (
        _first(_FOUND, text, at_start=True)
        or _of_s3(text)
        or _network(text)
        or _first(_MACHINE, text, at_start=False)
        or failure("tool_failed", text)
    )


def _of_s3(text: str) -> Failure | None:
    found = _S3.match(text)
    if not found:
        return None
    what, status, rest = found["what"], int(found["status"] or 0), found["rest"]
    unread = "deserializ" in rest  # an answer came, and it is not the network that is at fault
    told = None if unread else _network(_SENDING.sub("", rest))
    if told:
        return replace(told, text=f"{what}: {told.text}", call=what)
    if not status:
        return failure("tool_failed", f"{what}: {rest}", call=what)
    api = _API.match(rest)
    error, message = (api["code"], api["message"]) if api else ("", "")
    answered = f"the server answered {status} {error}".rstrip() + f" to {what}"
    shown = message if api else "its text is none of S3's"
    more = f": {shown}" if shown and shown != error else ""
    request = f" [request {found['id']}]" if found["id"] else ""
    why = _refusal(what, status, error, message).told(f"{answered}{more}{request}")
    # Amazon's library guesses so by the answer's date; the keys may be wrong all the same.
    return replace(why, hint=f"{why.hint}; {_CLOCK}") if found["skew"] else why


def _refusal(call: str, status: int, error: str, message: str) -> Failure:
    """What the answer means; its text is still to be told."""
    # An answer to HEAD has no text, and Amazon's library puts the status in its place.
    bare = not message or (error, message) == _in_place_of_text(status)
    if call.startswith("Head") and bare and status in _HEAD_HINTS:
        code, hint = _HEAD_HINTS[status]
        return failure(code, "", hint=hint, call=call)
    code = failures.meaning(status, error, message, is_s3=not (bare and status in _NEVER_BARE))
    if code == "bad_endpoint":
        return failure(code, "", hint=_NO_S3, call=call)
    region = _OTHER_REGION.search(message)
    right = failures.right(call) if code == "no_permission" else ""
    hint_of = f"give the key the right {right}" if right else None
    hint_of = f"the bucket is in another region: {region[1] or region[2]}" if region else hint_of
    return failure(code, "", hint=hint_of, call=call)


def _in_place_of_text(status: int) -> tuple[str, str]:
    """`NotFound` and `Not Found`; nothing for a number that is no status."""
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    return phrase.replace(" ", ""), phrase


def _network(text: str) -> Failure | None:
    sent = _URL.sub("", text)
    _, at_proxy, rest = sent.partition("proxyconnect tcp: ")
    if at_proxy:
        found = _first(_NETWORK, rest, at_start=False)
        return failure("bad_proxy", f"on the way to the proxy: {found.text if found else rest}")
    found = _first(_NETWORK, sent, at_start=False)
    # Go says no more of what a proxy answered to CONNECT.
    if found is None and sent != text and sent.lower() in _REFUSALS:
        return failure("bad_proxy", f"the proxy answered {sent}")
    return found


def _first(table: _Table, text: str, *, at_start: bool) -> Failure | None:
    for pattern, code, words in table:
        found = pattern.match(text) if at_start else pattern.search(text)
        if found:
            return failure(code, words.format(found[0], *found.groups()))
    return None
