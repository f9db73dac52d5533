"""Programs written in Go: what they report of the network, and what a server's refusal means.

Tools share Go's own errors, one inside the other, whatever library they reach a server with.
"""

from __future__ import annotations

import http
import mmap
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.model import Failure

_URL = re.compile(r'^(?:Get|Head|Put|Post|Delete) "(?P<url>[^"]*)": ', re.IGNORECASE)
_ADDRESS = r"\[?[0-9a-zA-Z.:%-]+?\]?:\d+"
# A pattern, a failure's code, and its words: `{1}` is what the pattern's group found.
Table = tuple[tuple[re.Pattern[str], str, str], ...]
# What the network did, the first that fits.
_NETWORK: Table = tuple(
    (re.compile(pattern, re.DOTALL), code, words)
    for pattern, code, words in (
        (r"Proxy Authentication Required", "bad_proxy", "the proxy wants a user and a password"),
        (
            # The DNS servers answered that there is no such name; where none answers, see below.
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
# What the machine refused, by words anywhere in a message.
_MACHINE: Table = tuple(
    (re.compile(pattern, re.DOTALL), code, "{0}")
    for pattern, code in (
        (r".*no space left on device.*|.*disk quota exceeded.*", "disk_full"),
        (r".*(?:input/output error|read-only file system).*", "disk_error"),
        (r".*(?:cannot allocate memory|out of memory).*", "out_of_memory"),
    )
)
# Amazon's second library for Go: `operation error S3: GetObject, https response error …`.
_AMAZON = re.compile(
    r"^operation error S3: (?P<what>\w+), "
    r"(?:exceeded maximum number of attempts, \d+, )?(?P<skew>Probable clock skew error: )?"
    r"(?:https response error StatusCode: (?P<status>\d+), "
    r"RequestID: (?P<id>[^,]*), HostID: [^,]*, )?(?P<rest>.*)$",
    re.DOTALL,
)
# An error that its model of a call lists stands there by its bare name.
_API = re.compile(
    r"^(?:(?P<any>api error )|(?=[A-Z]\w+:))(?P<code>[^:]+): ?(?P<message>.*)$", re.DOTALL
)
_SENDING = re.compile(r"^request send failed, ", re.DOTALL)
_CLOCK = "or this machine's clock is wrong"
_CRASHES = (b"panic: ", b"fatal error: ", b"runtime: out of memory", b"unexpected fault address")
_OTHER_REGION = re.compile(r"expecting '([\w-]+)'|expected: '(?:[^/']*/){1,2}([\w-]+)/s3/")
_NO_S3 = "no S3 server answers so: correct the endpoint, or see to a firewall in between"
# Amazon's libraries send a checksum after a body over HTTPS, and then no length before it.
_NO_TRAILER = "this server takes no checksum after the body: set checksum: false"
_REFUSALS = {status.phrase.lower() for status in http.HTTPStatus if status >= 400}
# With these an S3 server sends more than the status, unless the request was a HEAD.
_NEVER_BARE = {400, 403, 404, 405}
_HEAD_HINTS: Mapping[int, tuple[str, str]] = {
    301: ("wrong_region", "the bucket is in another region"),
    400: ("wrong_region", "the region is wrong, or the session has expired"),
    403: ("no_permission", "the keys, their rights, or this machine's clock"),
}


def refusal(call: str, status: int, error: str, message: str) -> Failure:
    """What a server's answer to a call of the S3 API means; the caller adds the text."""
    # An answer to HEAD has no text, and Amazon's library puts the status in its place.
    bare = not message or (error, message) == _in_place_of_text(status)
    if call.startswith("Head") and bare and status in _HEAD_HINTS:
        code, hint = _HEAD_HINTS[status]
        return failure(code, "", hint=hint, call=call)
    code = failures.meaning(status, error, message, is_s3=not (bare and status in _NEVER_BARE))
    if code == "bad_endpoint":
        return failure(code, "", hint=_NO_S3, call=call)
    if error == "MissingContentLength":
        return failure(code, "", hint=_NO_TRAILER, call=call)
    region = _OTHER_REGION.search(message)
    right = failures.right(call) if code == "no_permission" else ""
    hint_of = f"give the key the right {right}" if right else None
    hint_of = f"the bucket is in another region: {region[1] or region[2]}" if region else hint_of
    return failure(code, "", hint=hint_of, call=call)


def _in_place_of_text(status: int) -> tuple[str, str]:
    """`NotFound` and `Not Found`; nothing for a number that is no status."""
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    return phrase.replace(" ", ""), phrase


def amazon(text: str) -> Failure | None:
    """What Amazon's second library for Go reports of a call; None for any other text."""
    found = _AMAZON.match(text)
    if not found:
        return None
    what, status, rest = found["what"], int(found["status"] or 0), found["rest"]
    unread = "deserializ" in rest  # an answer came, and it is not the network that is at fault
    on_the_way = None if unread else network(_SENDING.sub("", rest))
    if on_the_way:
        return replace(on_the_way, text=f"{what}: {on_the_way.text}", call=what)
    if not status:
        return failure("tool_failed", f"{what}: {rest}", call=what)
    api = _API.match(rest)
    error, message = (api["code"], api["message"]) if api else ("", "")
    message = message or (error if api and not api["any"] else "")
    answered = f"the server answered {status} {error}".rstrip() + f" to {what}"
    shown = message if api else "its text is none of S3's"
    more = f": {shown}" if shown and shown != error else ""
    request = f" [request {found['id']}]" if found["id"] else ""
    why = refusal(what, status, error, message).with_text(f"{answered}{more}{request}")
    # Amazon's library guesses so by the answer's date; the keys may be wrong all the same.
    return replace(why, hint=f"{why.hint}; {_CLOCK}") if found["skew"] else why


def network(text: str) -> Failure | None:
    """What happened on the way to the server; None where no known words are in `text`."""
    sent = _URL.sub("", text)
    _, at_proxy, rest = sent.partition("proxyconnect tcp: ")
    if at_proxy:
        found = first(_NETWORK, rest, at_start=False)
        return failure("bad_proxy", f"on the way to the proxy: {found.text if found else rest}")
    found = first(_NETWORK, sent, at_start=False)
    # Go reports no more of what a proxy answered to CONNECT.
    if found is None and sent != text and sent.lower() in _REFUSALS:
        return failure("bad_proxy", f"the proxy answered {sent}")
    return found


def machine(text: str) -> Failure | None:
    """What the machine refused, by words anywhere in `text`; None where there are none."""
    return first(_MACHINE, text, at_start=False)


def crash(line: bytes) -> str:
    """The line, where Go's runtime wrote it as it ended the process; else empty."""
    return line.decode(errors="replace").strip() if line.startswith(_CRASHES) else ""


def why_no_program(program: str) -> str:
    """Why what is at this path can't be measured as a program; empty where it can."""
    if not os.access(program, os.X_OK) or Path(program).is_dir():
        return f"'{program}' is no program"
    with Path(program).open("rb") as start:
        if start.read(2) == b"#!":
            return f"{program} is a script that starts another program, which would be measured too"
    return ""


def module_version(program: str, module: str) -> str | None:
    """The version of its own module, as Go wrote it into a program; None where it is another."""
    wanted = re.compile(rb"\nmod\t%b\t([^\t\n]*)[\t\n]" % re.escape(module.encode()))
    with Path(program).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = wanted.search(content)
            return found[1].decode(errors="replace") if found else None


def first(table: Table, text: str, *, at_start: bool) -> Failure | None:
    """The failure of the first pattern that fits, at the beginning or anywhere; else None."""
    for pattern, code, words in table:
        found = pattern.match(text) if at_start else pattern.search(text)
        if found:
            return failure(code, words.format(found[0], *found.groups()))
    return None
