"""What rclone says of a fault -> what a person reads; texts as rclone 1.75 writes them."""

from __future__ import annotations

import pytest

from hps.tools.why import in_words

_ATTEMPT = "Attempt 1/1 failed with 1 errors and: "
_ANSWERED = "https response error StatusCode: {status}, RequestID: {id}, HostID: aG9zdA==, "
_SENT = "https response error StatusCode: 0, RequestID: , HostID: , request send failed, "
_HEAD = "operation error S3: HeadObject, exceeded maximum number of attempts, 3, " + _SENT


def _answer(what: str, status: int, rest: str, request: str = "") -> str:
    return f"operation error S3: {what}, " + _ANSWERED.format(status=status, id=request) + rest


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            _ATTEMPT
            + "multi-thread copy: failed to open source: "
            + _answer("GetObject", 403, "api error AccessDenied: Access Denied"),
            "the server answered 403 AccessDenied to GetObject: Access Denied",
        ),
        (
            "2026/11/22 12:00:00 NOTICE: Failed to delete with 2 errors: last error was: "
            + _answer("DeleteObject", 500, "api error InternalError: Try again.", "4D2A"),
            "the server answered 500 InternalError to DeleteObject: Try again. [request 4D2A]",
        ),
        (
            _ATTEMPT
            + "failed to upload chunk 3 with 5242880 bytes: "
            + _answer("UploadPart", 400, "error while deserializing xml: unexpected EOF"),
            "part 3: the server answered 400 to UploadPart: its text is none of S3's",
        ),
        (
            _answer("HeadObject", 403, "api error Forbidden: Forbidden"),
            "the server answered 403 Forbidden to HeadObject "
            "(the keys, their rights, or this machine's clock)",
        ),
        (
            _HEAD + 'Head "http://[::1]:9/b": dial tcp [::1]:9: connect: connection refused',
            "HeadObject: [::1]:9 refuses connections",
        ),
        (
            _HEAD
            + 'Head "http://v6.test/b": dial tcp [2001:db8::1]:80: connect: '
            + "network is unreachable",
            "HeadObject: no way leads to [2001:db8::1]:80",
        ),
        (
            _HEAD + 'Head "http://10.1.2.3/b": dial tcp 10.1.2.3:80: i/o timeout',
            "HeadObject: no answer from 10.1.2.3:80",
        ),
        (
            _HEAD + 'Head "http://x.test/b": dial tcp: lookup x.test on 10.0.0.1:53: no such host',
            "HeadObject: the name x.test is not known (DNS)",
        ),
        (
            _HEAD + 'Head "http://x.test/b": dial tcp: lookup x.test on 1.1.1.1:53: server busy',
            "HeadObject: the name x.test could not be looked up (DNS)",
        ),
        (
            _HEAD
            + 'Head "https://a.test/b": tls: failed to verify certificate: x509: certificate is '
            + "valid for b.test, not a.test",
            "HeadObject: the certificate is for b.test, not for a.test",
        ),
        (
            _HEAD
            + 'Head "https://a.test/b": tls: failed to verify certificate: x509: certificate has '
            + "expired or is not yet valid: current time 2026-11-22 is after 2020-01-01",
            "HeadObject: the certificate has expired, or a clock is wrong",
        ),
        (
            _HEAD + 'Head "https://a.test/b": http: server gave HTTP response to HTTPS client',
            "HeadObject: the port speaks HTTP, not HTTPS",
        ),
        (
            _HEAD + 'Head "https://a.test/b": remote error: tls: handshake failure',
            "HeadObject: TLS failed: handshake failure",
        ),
        (
            _HEAD + 'Head "http://a.test/b": EOF',
            "HeadObject: the connection was closed unanswered",
        ),
        (
            "multi-thread copy: failed to write chunk: read tcp 127.0.0.1:1->127.0.0.1:2: read: "
            "connection reset by peer",
            "the connection was reset",
        ),
        (
            "corrupted on transfer: sizes differ src(Local file system at /p) 7 vs dst(S3 x) 84",
            "corrupted on its way: 84 bytes came, not 7",
        ),
        ("no\tsuch \x1b[31mbucket\n", "no such [31mbucket"),
        (
            "anything at all: " + _answer("GetObject", 416, "api error InvalidRange: No."),
            "the server answered 416 InvalidRange to GetObject: No.",
        ),
        ("", ""),
    ],
)
def test_what_is_known_is_said_in_words(said: str, words: str) -> None:
    assert in_words(said) == words


def test_what_a_server_says_cannot_be_too_long() -> None:
    said = "corrupted on transfer: md5 hashes differ src(" * 20_000
    assert len(in_words(said)) <= 4000
    assert len(in_words("lookup " * 100_000)) <= 4000
