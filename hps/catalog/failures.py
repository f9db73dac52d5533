"""What can go wrong, whose fault each is, and what to do: failures as values that programs test.

A failure's text is for people, and nothing may be decided by its words: programs ask for `code`
and `owner`. Only a failure of the node, or of the way from it to a target, may count against
the node; a mistake in the file, the account, its keys or its rights is the same everywhere.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.model import Failure, Owner

# -------------------------------------------------------------------------------------------------
# What a refusal of a server means: its error code and status -> the code of a failure.
#
# Codes: "Error responses" of the Amazon S3 API reference, and those that Cloudflare R2, Google
# Cloud Storage, Backblaze B2, Ceph, MinIO and Garage document or send in addition. Azure's: "Blob
# service error codes" and "Common REST API error codes".

_MEANINGS: Mapping[str, str] = {
    "bad_credentials": """
        SignatureDoesNotMatch InvalidAccessKeyId InvalidSecurity Unauthorized
        CredentialsNotSupported MissingSecurityHeader AccessKeyDisabled InvalidToken
        InvalidClientTokenId UnrecognizedClientException AuthenticationRequired
        AuthenticationFailed InvalidAuthenticationInfo NoAuthenticationInformation
        XMinioInvalidAccessKeyId NoSuchKeyId AuthFailure InvalidArgumentCredential
    """,
    "expired_credentials": """
        ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired ExpiredRequest
    """,
    "no_permission": """
        AccessDenied Forbidden AccessForbidden UnauthorizedAccess AccessDeniedException
        ObjectLocked InvalidObjectState ObjectIsWormProtected XMinioObjectLocked
        ObjectLockedByBucketPolicy AuthorizationFailure AuthorizationPermissionMismatch
        AuthorizationProtocolMismatch AuthorizationResourceTypeMismatch
        AuthorizationServiceMismatch AuthorizationSourceIPMismatch InsufficientAccountPermissions
        KeyBasedAuthenticationNotPermitted PublicAccessNotPermitted BlobImmutableDueToPolicy
    """,
    "no_such_bucket": """
        NoSuchBucket InvalidBucketName NoSuchAccessPoint InvalidAccessPoint InvalidBucketState
        ContainerNotFound ContainerBeingDeleted ContainerDisabled
    """,
    "wrong_region": """
        AuthorizationHeaderMalformed InvalidRegionName InvalidRegion PermanentRedirect
        IllegalLocationConstraintException InvalidLocationConstraint MovedPermanently
        TemporaryRedirect Redirect RegionMismatch
    """,
    "account_closed": """
        AllAccessDisabled AccountProblem NotSignedUp InvalidPayer UserSuspended UserDisabled
        AccountDisabled UserProjectAccountProblem OptInRequired NotEntitled BillingNotEnabled
        AccountIsDisabled
    """,
    "quota": """
        QuotaExceeded ServiceQuotaExceededException XMinioAdminBucketQuotaExceeded
        StorageQuotaExceeded StorageCapExceeded TransactionCapExceeded CapExceeded
        XMinioStorageFull InsufficientStorage OverQuota
    """,
    "not_implemented": "NotImplemented MethodNotAllowed XNotImplemented UnsupportedOperation",
    "clock_skew": "RequestTimeTooSkewed RequestInTheFuture RequestNotYetValid",
    "throttled": """
        SlowDown SlowDownRead SlowDownWrite TooManyRequests Throttling ThrottlingException
        RequestLimitExceeded BandwidthLimitExceeded RateLimitExceeded TooManyRequestsException
        RequestThrottled ProvisionedThroughputExceededException ServerBusy
    """,
    # An answer of 200 may hold one, too.
    "server_error": "InternalError ServiceUnavailable",
    "timeout": "RequestTimeout RequestTimeoutException OperationTimedOut",
    "corrupted": """
        BadDigest XAmzContentSHA256Mismatch ContentSHA256Mismatch InvalidPart Md5Mismatch
    """,
    "truncated": "IncompleteBody",
    "not_found": "NoSuchKey NoSuchUpload NoSuchVersion NotFound BlobNotFound",
}
_BY_CODE = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes.split()}
_BY_STATUS: Mapping[int, str] = {
    301: "wrong_region",
    307: "wrong_region",
    308: "wrong_region",
    401: "bad_credentials",
    402: "account_closed",
    403: "no_permission",
    404: "not_found",
    405: "not_implemented",
    407: "bad_proxy",
    408: "timeout",
    429: "throttled",
    501: "not_implemented",
    507: "quota",
}
# The right that a call needs, as policies of AWS name it.
_RIGHTS: Mapping[str, str] = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "GetObjectAttributes": "s3:GetObjectAttributes",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}


# Some servers use one code for several mistakes, which differ only in the message.
_BY_TEXT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"difference between the request time and", "clock_skew"),
        (r"invalid signature|no such key: GK|access key has length", "bad_credentials"),
        (r"unexpected scope: ", "wrong_region"),
        (r"\bcaps? (?:is |was )?exceeded|quota (?:is |was )?exceeded", "quota"),
        (r"WORM protected", "no_permission"),
        (r"parts must have the same length", "bad_request"),
    )
)


def meaning(status: int, error: str, message: str = "", *, is_s3: bool = True) -> str:
    """The code of the failure that an answer means: by its S3 error code, else by its status.

    `error` and `message` are those of the body; `is_s3` False: no S3 server sends such a body.
    """
    for pattern, code in _BY_TEXT:
        if pattern.search(message):
            return code
    if error in _BY_CODE and is_s3:
        return _BY_CODE[error]
    if not is_s3 and (status < 400 or status in {400, 401, 403, 404, 405}):
        return "bad_endpoint"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status < 400:
        return "bad_answer"
    return "server_error" if status >= 500 else "bad_request"


def right(call: str) -> str:
    """The right that a call of the S3 API needs, such as `s3:GetObject`; empty if unknown."""
    return _RIGHTS.get(call, "")


# -------------------------------------------------------------------------------------------------
# Every kind of failure that there is.


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Whose fault a failure is, and the hint for it where none more exact is known."""

    owner: Owner
    hint: str = ""


# By code; `reason_code` of a stored line is one of these.
KINDS: Mapping[str, FailureKind] = {
    # The file, the account, its keys and rights: the same on every node.
    "bad_credentials": FailureKind("experiment", "check the access key's id and its secret"),
    "expired_credentials": FailureKind("experiment", "get new keys, or a new session token"),
    "no_permission": FailureKind("experiment", "give the key this right on the bucket"),
    "no_such_bucket": FailureKind("experiment", "make the bucket, or correct its name"),
    "wrong_region": FailureKind("experiment", "correct the region of the target"),
    "bad_endpoint": FailureKind("experiment", "correct the endpoint of the target"),
    "bad_certificate": FailureKind(
        "experiment", "name its authority in `ca_cert` of the target, or correct the endpoint"
    ),
    "bad_proxy": FailureKind("experiment", "see to HTTP_PROXY and HTTPS_PROXY in the environment"),
    "bad_request": FailureKind(
        "experiment", "the server takes no such request: look at the target"
    ),
    "account_closed": FailureKind("experiment", "see to the account at the provider"),
    "quota": FailureKind("experiment", "make room in the account, or raise its quota"),
    "not_implemented": FailureKind(
        "experiment", "this server can't do what the experiment asks for"
    ),
    "bad_experiment": FailureKind("experiment"),
    # This machine.
    "clock_skew": FailureKind("node", "set this machine's clock"),
    "disk_full": FailureKind("node", "make room, or name another folder in TMPDIR"),
    "disk_error": FailureKind("node", "look at the disk that holds this path"),
    "out_of_memory": FailureKind("node", "less in flight, or a larger limit"),
    "no_device": FailureKind("node"),
    "tool_stopped": FailureKind("node", "who stops, freezes or debugs programs here?"),
    # The server, or the way to it.
    "throttled": FailureKind("target", "the server asks for fewer requests"),
    "server_error": FailureKind("target"),
    "refused": FailureKind("target"),
    "unreachable": FailureKind("target"),
    "name_unknown": FailureKind("target"),
    "tls": FailureKind("target"),
    "timeout": FailureKind("target"),
    "connection_lost": FailureKind("target"),
    "bad_answer": FailureKind("target", "is it an S3 server that answers there?"),
    "truncated": FailureKind("target"),
    "corrupted": FailureKind("target"),
    "not_found": FailureKind("target"),
    # The program that moves the bytes.
    "tool_crashed": FailureKind("tool"),
    "tool_failed": FailureKind("tool"),
    "tool_missing": FailureKind("tool"),
    "not_as_declared": FailureKind("tool"),
    "unsupported": FailureKind("tool"),
    # This program.
    "stopped": FailureKind("hps"),
    "late": FailureKind("hps", "was this machine or its container asleep, frozen or moved?"),
    "bug": FailureKind("hps"),
}


def failure(code: str, text: str, *, hint: str | None = None, call: str = "") -> Failure:
    """A failure with the owner that `KINDS` has for its code, and the hint where none is given."""
    kind = KINDS[code]
    return Failure(
        code=code,
        owner=kind.owner,
        text=text,
        hint=kind.hint if hint is None else hint,
        call=call,
    )


def missing_right(why: Failure) -> str:
    """The right that the key lacks, such as `s3:PutObject`; empty for any other failure."""
    return right(why.call) if why.code == "no_permission" else ""


_FULL = {errno.ENOSPC, errno.EDQUOT}
# Faults of a disk, which any access to any file may raise.
OF_A_DISK = frozenset({*_FULL, errno.EIO, errno.EROFS, errno.ESTALE})


def of_system(error: OSError, place: Path | str) -> Failure:
    """The failure of the node that a system error is, with the path that it names, else `place`."""
    code = "disk_full" if error.errno in _FULL else "disk_error"
    code = "out_of_memory" if error.errno == errno.ENOMEM else code
    text = f"{error.strerror or error}: {error.filename or place}"
    return failure(code, text, hint="")
