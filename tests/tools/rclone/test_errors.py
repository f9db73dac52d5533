"""What rclone says of a fault -> whose it is, and what a person reads; as rclone 1.75 says it."""

from __future__ import annotations

import pytest

from hps.catalog.failures import KINDS, missing_right
from hps.tools.rclone.errors import explain

_ATTEMPT = "Attempt 1/1 failed with 1 errors and: "
_ANSWERED = "https response error StatusCode: {status}, RequestID: {id}, HostID: aG9zdA==, "
_SENT = "https response error StatusCode: 0, RequestID: , HostID: , request send failed, "
_HEAD = "operation error S3: HeadObject, exceeded maximum number of attempts, 3, " + _SENT


def _answer(what: str, status: int, rest: str, request: str = "") -> str:
    return f"operation error S3: {what}, " + _ANSWERED.format(status=status, id=request) + rest


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            _ATTEMPT
            + "multi-thread copy: failed to open source: "
            + _answer("GetObject", 403, "api error AccessDenied: Access Denied"),
            "no_permission",
            "the server answered 403 AccessDenied to GetObject: Access Denied",
        ),
        (
            "2026/11/22 12:00:00 NOTICE: Failed to delete with 2 errors: last error was: "
            + _answer("DeleteObject", 500, "api error InternalError: Try again.", "4D2A"),
            "server_error",
            "the server answered 500 InternalError to DeleteObject: Try again. [request 4D2A]",
        ),
        (
            _ATTEMPT
            + "failed to upload chunk 3 with 5242880 bytes: "
            + _answer("UploadPart", 400, "error while deserializing xml: unexpected EOF"),
            "bad_endpoint",
            "part 3: the server answered 400 to UploadPart: its text is none of S3's",
        ),
        (
            _answer("HeadObject", 403, "api error Forbidden: Forbidden"),
            "no_permission",
            "the server answered 403 Forbidden to HeadObject",
        ),
        (
            _HEAD + 'Head "http://[::1]:9/b": dial tcp [::1]:9: connect: connection refused',
            "refused",
            "HeadObject: [::1]:9 refuses connections",
        ),
        (
            _HEAD
            + 'Head "http://v6.test/b": dial tcp [2001:db8::1]:80: connect: '
            + "network is unreachable",
            "unreachable",
            "HeadObject: no way leads to [2001:db8::1]:80",
        ),
        (
            _HEAD + 'Head "http://10.1.2.3/b": dial tcp 10.1.2.3:80: i/o timeout',
            "timeout",
            "HeadObject: no answer from 10.1.2.3:80",
        ),
        (
            _HEAD + 'Head "http://x.test/b": dial tcp: lookup x.test on 10.0.0.1:53: no such host',
            "bad_endpoint",
            "HeadObject: the name x.test is not known (DNS)",
        ),
        (
            _HEAD + 'Head "http://x.test/b": dial tcp: lookup x.test on 1.1.1.1:53: server busy',
            "name_unknown",
            "HeadObject: the name x.test could not be looked up (DNS)",
        ),
        (
            _HEAD
            + 'Head "https://a.test/b": tls: failed to verify certificate: x509: certificate is '
            + "valid for b.test, not a.test",
            "bad_certificate",
            "HeadObject: the certificate is for b.test, not for a.test",
        ),
        (
            _HEAD
            + 'Head "https://a.test/b": tls: failed to verify certificate: x509: certificate has '
            + "expired or is not yet valid: current time 2026-11-22 is after 2020-01-01",
            "tls",
            "HeadObject: the certificate has expired, or a clock is wrong",
        ),
        (
            _HEAD + 'Head "https://a.test/b": http: server gave HTTP response to HTTPS client',
            "bad_endpoint",
            "HeadObject: the port speaks HTTP, not HTTPS",
        ),
        (
            _HEAD + 'Head "https://a.test/b": remote error: tls: handshake failure',
            "bad_endpoint",
            "HeadObject: TLS failed: handshake failure, as where the server has no such host",
        ),
        (
            _HEAD + 'Head "https://a.test/b": tls: first record does not look like a TLS handshake',
            "bad_endpoint",
            "HeadObject: the port speaks no TLS, so not HTTPS",
        ),
        (
            _HEAD
            + 'Head "https://a.test/b": proxyconnect tcp: dial tcp 10.0.0.2:3128: connect: '
            + "connection refused",
            "bad_proxy",
            "HeadObject: on the way to the proxy: 10.0.0.2:3128 refuses connections",
        ),
        (
            _HEAD + 'Head "https://a.test/b": METHOD NOT ALLOWED',
            "bad_proxy",
            "HeadObject: the proxy answered METHOD NOT ALLOWED",
        ),
        (
            _HEAD + 'Head "http://a.test/b": EOF',
            "connection_lost",
            "HeadObject: the connection was closed unanswered",
        ),
        (
            "multi-thread copy: failed to write chunk: read tcp 127.0.0.1:1->127.0.0.1:2: read: "
            "connection reset by peer",
            "connection_lost",
            "the connection was reset",
        ),
        (
            "corrupted on transfer: sizes differ src(Local file system at /p) 7 vs dst(S3 x) 84",
            "truncated",
            "corrupted on its way: 84 bytes came, not 7",
        ),
        ("no\tsuch \x1b[31mbucket\n", "tool_failed", "no such [31mbucket"),
        (
            "anything at all: " + _answer("GetObject", 416, "api error InvalidRange: No."),
            "bad_request",
            "the server answered 416 InvalidRange to GetObject: No.",
        ),
        (
            _ATTEMPT + _HEAD + 'Head "http://a.test/b": Proxy Authentication Required',
            "bad_proxy",
            "HeadObject: the proxy wants a user and a password",
        ),
        (
            _HEAD + 'Head "https://a.test/b": tls: protocol version not supported',
            "tls",
            "HeadObject: TLS failed: protocol version not supported",
        ),
        (
            _HEAD + 'Get "http://a.test/b": net/http: timeout awaiting response headers',
            "timeout",
            "HeadObject: no answer came",
        ),
        (
            _answer("PutObject", 200, "api error InternalError: Try again."),
            "server_error",
            "the server answered 200 InternalError to PutObject: Try again.",
        ),
        (
            _answer("GetObject", 304, "api error NotModified: Not Modified"),
            "bad_answer",
            "the server answered 304 NotModified to GetObject: Not Modified",
        ),
        (
            'corrupted on transfer: md5 hashes differ src(Local file system at /p) "aa" vs '
            'dst(S3 bucket b) "bb"',
            "corrupted",
            "corrupted on its way: the md5 of what came is bb, not aa",
        ),
        (
            "multi-thread copy: failed to write chunk: expected to write 5 bytes for chunk 0, but "
            "wrote 3 bytes",
            "truncated",
            "the server sent 3 bytes for a range of 5",
        ),
        (
            _ATTEMPT + "no UploadId in multipart upload: /bucket/a",
            "bad_endpoint",
            "the server's answer to CreateMultipartUpload is none of S3's",
        ),
        (
            "Failed to lsf with 2 errors: last error was: error in ListJSON: directory not found",
            "not_found",
            "the server says that the folder is not there",
        ),
        (
            _ATTEMPT + "multi-thread copy: failed to write chunk: write /tmp/x: no space left on "
            "device",
            "disk_full",
            "write /tmp/x: no space left on device",
        ),
        (
            "open /tmp/x: read-only file system",
            "disk_error",
            "open /tmp/x: read-only file system",
        ),
        ("fork: cannot allocate memory", "out_of_memory", "fork: cannot allocate memory"),
        (_ATTEMPT + "max transfer limit reached", "stopped", "as much was moved as was allowed"),
        ("", "tool_failed", ""),
    ],
)
def test_what_is_known_is_said_in_words(said: str, code: str, text: str) -> None:
    why = explain(said)
    assert (why.code, why.owner, why.text) == (code, KINDS[code].owner, text)


# As servers of these providers answer: status, error code, text; then whose fault that is.
_REFUSALS = (
    # bad_credentials
    (403, "SignatureDoesNotMatch: Check your key and signing method.", "bad_credentials"),  # AWS
    (403, "SignatureDoesNotMatch: UnknownError", "bad_credentials"),  # Ceph
    (403, "AccessDenied: Forbidden: Invalid signature", "bad_credentials"),  # Garage
    (403, "AccessDenied: Forbidden: No such key: GK31c2f218a2e4", "bad_credentials"),  # Garage
    (403, "InvalidAccessKeyId: Malformed Access Key Id", "bad_credentials"),  # Backblaze
    (403, "InvalidSecurity: The provided credentials are not valid.", "bad_credentials"),  # GCS
    (401, "Unauthorized: Unauthorized", "bad_credentials"),  # R2
    (400, "InvalidArgument: Credential access key has length 20, should be 32", "bad_credentials"),
    (400, "InvalidToken: The provided token is malformed.", "bad_credentials"),
    # expired_credentials
    (400, "ExpiredToken: The provided token has expired.", "expired_credentials"),
    (400, "TokenRefreshRequired: The provided token must be refreshed.", "expired_credentials"),
    (400, "ExpiredRequest: Request has expired.", "expired_credentials"),  # R2
    # no_permission
    (403, "AccessDenied: Access Denied", "no_permission"),
    (403, "ObjectLockedByBucketPolicy: The object is locked.", "no_permission"),  # R2
    (400, "InvalidRequest: Object is WORM protected", "no_permission"),  # MinIO
    # no_such_bucket
    (404, "NoSuchBucket: The specified bucket does not exist", "no_such_bucket"),
    (400, "InvalidBucketName: The specified bucket is not valid.", "no_such_bucket"),
    (400, "InvalidAccessPoint: The name is not valid.", "no_such_bucket"),
    # wrong_region
    (400, "AuthorizationHeaderMalformed: The region is wrong", "wrong_region"),
    (301, "PermanentRedirect: Use the specified endpoint.", "wrong_region"),
    (400, "InvalidRegion: Region does not match.", "wrong_region"),  # MinIO
    (400, "InvalidRegionName: The region name 'x' is not valid.", "wrong_region"),  # R2
    (400, "IllegalLocationConstraintException: Incompatible.", "wrong_region"),
    (301, "MovedPermanently: Moved Permanently", "wrong_region"),
    # quota
    (403, "QuotaExceeded: UnknownError", "quota"),  # Ceph
    (400, "XMinioAdminBucketQuotaExceeded: Bucket quota exceeded", "quota"),
    (507, "XMinioStorageFull: Storage backend has reached its minimum.", "quota"),
    (403, "AccessDenied: Cannot upload files, storage cap exceeded.", "quota"),  # Backblaze
    (507, "InsufficientStorage: Insufficient Storage", "quota"),
    # account_closed
    (403, "AllAccessDisabled: All access has been disabled", "account_closed"),
    (403, "AccountProblem: There is a problem with your account.", "account_closed"),
    (403, "NotSignedUp: Your account is not signed up.", "account_closed"),
    (403, "UserSuspended: UnknownError", "account_closed"),  # Ceph
    (403, "UserProjectAccountProblem: Absent billing account.", "account_closed"),  # GCS
    (403, "NotEntitled: You are not entitled to use R2.", "account_closed"),
    # not_implemented, bad_request, bad_endpoint, bad_proxy
    (501, "NotImplemented: Not implemented", "not_implemented"),
    (405, "MethodNotAllowed: Not against this resource.", "not_implemented"),
    (400, "EntityTooSmall: Too small", "bad_request"),
    (400, "InvalidPart: All non-trailing parts must have the same length.", "bad_request"),  # R2
    (404, "NotFound: Not Found", "bad_endpoint"),
    (403, "Forbidden: Forbidden", "bad_endpoint"),
    (400, "BadRequest: Bad Request", "bad_endpoint"),
    (407, "ProxyAuthenticationRequired: Proxy Authentication Required", "bad_proxy"),
    # the machine, the server
    (403, "RequestTimeTooSkewed: The difference is too large.", "clock_skew"),
    (503, "SlowDown: Please reduce your request rate.", "throttled"),
    (503, "SlowDownWrite: Resource requested is unwritable.", "throttled"),  # MinIO
    (429, "TooManyRequests: Rate limit exceeded.", "throttled"),  # R2
    (500, "InternalError: We encountered an internal error.", "server_error"),
    (502, "BadGateway: Bad Gateway", "server_error"),
    (503, "ServiceUnavailable: Please try again.", "server_error"),
    (400, "XAmzContentSHA256Mismatch: It does not match.", "corrupted"),
)


@pytest.mark.parametrize(("status", "api_error", "code"), _REFUSALS)
def test_whose_fault_a_refusal_is(status: int, api_error: str, code: str) -> None:
    why = explain(_answer("PutObject", status, f"api error {api_error}"))
    assert (why.code, why.owner) == (code, KINDS[code].owner), why
    assert why.hint or why.owner == "target"
    error, _, message = api_error.partition(": ")
    shown = f": {message}" if message != error and code != "bad_proxy" else ""
    if code not in {"bad_endpoint", "bad_proxy"}:
        assert why.text == f"the server answered {status} {error} to PutObject{shown}"


@pytest.mark.parametrize(
    ("status", "api_error", "code", "hint"),
    [
        (400, "BadRequest: Bad Request", "wrong_region", "the session has expired"),
        (301, "MovedPermanently: Moved Permanently", "wrong_region", "in another region"),
        (403, "Forbidden: Forbidden", "no_permission", "the keys, their rights, or this machine's"),
        (401, "Unauthorized: Unauthorized", "bad_credentials", "access key's id and its secret"),
    ],
)
def test_an_answer_without_a_text_is_told_by_its_status(
    status: int, api_error: str, code: str, hint: str
) -> None:
    why = explain(_answer("HeadObject", status, f"api error {api_error}"))
    assert (why.code, why.owner, why.call) == (code, "experiment", "HeadObject")
    assert hint in why.hint


@pytest.mark.parametrize(
    ("call", "right"),
    [
        ("PutObject", "s3:PutObject"),
        ("UploadPart", "s3:PutObject"),
        ("GetObject", "s3:GetObject"),
        ("HeadObject", "s3:GetObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("DeleteObject", "s3:DeleteObject"),
        ("AbortMultipartUpload", "s3:AbortMultipartUpload"),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ],
)
def test_the_right_that_is_missing_is_named(call: str, right: str) -> None:
    why = explain(_answer(call, 403, "api error AccessDenied: Access Denied"))
    assert (why.code, why.call, missing_right(why)) == ("no_permission", call, right)
    assert why.hint == f"give the key the right {right}"


@pytest.mark.parametrize(
    "said",
    [
        _answer(
            "PutObject",
            400,
            "api error AuthorizationHeaderMalformed: The authorization header is malformed; the "
            "region 'us-east-1' is wrong; expecting 'eu-north-1'",
        ),
        _answer(
            "PutObject",
            400,
            "api error AuthorizationHeaderMalformed: unexpected scope: "
            "'20260923/us-east-1/s3/aws4_request', expected: "
            "'20260923/eu-north-1/s3/aws4_request'",
        ),
        'Failed to update region for bucket: can\'t set region to "eu-north-1" as endpoint is set',
    ],
)
def test_the_right_region_is_named_where_the_server_names_it(said: str) -> None:
    why = explain(said)
    assert (why.code, why.owner) == ("wrong_region", "experiment")
    assert "the bucket is in another region: eu-north-1" in why.reason


def test_what_a_server_says_cannot_be_too_long() -> None:
    said = "corrupted on transfer: md5 hashes differ src(" * 20_000
    assert len(explain(said).text) <= 4000
    assert len(explain("lookup " * 100_000).text) <= 4000
