"""What a refusal of an S3 server means: its error code and status -> a code of `failures`.

Codes: "Error responses" of the Amazon S3 API reference, and those that Cloudflare R2, Google Cloud
Storage, Backblaze B2, Ceph, MinIO and Garage document or send in addition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "bad_credentials": (
        *("SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidSecurity", "Unauthorized"),
        *("CredentialsNotSupported", "MissingSecurityHeader", "AccessKeyDisabled", "InvalidToken"),
        *("InvalidClientTokenId", "UnrecognizedClientException", "AuthenticationRequired"),
        *("XMinioInvalidAccessKeyId", "NoSuchKeyId", "AuthFailure", "InvalidArgumentCredential"),
    ),
    "expired_credentials": (
        *(
            "ExpiredToken",
            "ExpiredTokenException",
            "TokenRefreshRequired",
            "RequestExpired",
            "ExpiredRequest",
        ),
    ),
    "no_permission": (
        *(
            "AccessDenied",
            "Forbidden",
            "AccessForbidden",
            "UnauthorizedAccess",
            "AccessDeniedException",
        ),
        *("ObjectLocked", "InvalidObjectState", "ObjectIsWormProtected", "XMinioObjectLocked"),
        *("ObjectLockedByBucketPolicy",),
    ),
    "no_such_bucket": (
        *("NoSuchBucket", "InvalidBucketName", "NoSuchAccessPoint", "InvalidAccessPoint"),
        *("InvalidBucketState",),
    ),
    "wrong_region": (
        *(
            "AuthorizationHeaderMalformed",
            "InvalidRegionName",
            "InvalidRegion",
            "PermanentRedirect",
        ),
        *("IllegalLocationConstraintException", "InvalidLocationConstraint", "MovedPermanently"),
        *("TemporaryRedirect", "Redirect", "RegionMismatch"),
    ),
    "account_closed": (
        *("AllAccessDisabled", "AccountProblem", "NotSignedUp", "InvalidPayer", "UserSuspended"),
        *("UserDisabled", "AccountDisabled", "UserProjectAccountProblem", "OptInRequired"),
        *("NotEntitled", "BillingNotEnabled"),
    ),
    "quota": (
        *("QuotaExceeded", "ServiceQuotaExceededException", "XMinioAdminBucketQuotaExceeded"),
        *("StorageQuotaExceeded", "StorageCapExceeded", "TransactionCapExceeded", "CapExceeded"),
        *("XMinioStorageFull", "InsufficientStorage", "OverQuota"),
    ),
    "not_implemented": (
        "NotImplemented",
        "MethodNotAllowed",
        "XNotImplemented",
        "UnsupportedOperation",
    ),
    "clock_skew": (*("RequestTimeTooSkewed", "RequestInTheFuture", "RequestNotYetValid"),),
    "throttled": (
        *("SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "Throttling"),
        *(
            "ThrottlingException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "RateLimitExceeded",
        ),
        *("TooManyRequestsException", "RequestThrottled", "ProvisionedThroughputExceededException"),
    ),
    # An answer of 200 may hold one, too.
    "server_error": ("InternalError", "ServiceUnavailable"),
    "timeout": ("RequestTimeout", "RequestTimeoutException"),
    "corrupted": ("BadDigest", "XAmzContentSHA256Mismatch", "ContentSHA256Mismatch", "InvalidPart"),
    "truncated": ("IncompleteBody",),
    "not_found": ("NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound"),
}
_BY_CODE = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes}
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
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}


# Where one code stands for several things, the server's text tells which.
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
    """The failure's code for an answer: by its S3 error code where that is known, else by status.

    `is_s3` False: the body was none that an S3 server sends.
    """
    for pattern, said in _BY_TEXT:
        if pattern.search(message):
            return said
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
    """The right that a call of the S3 API needs, `s3:GetObject`; empty where none is known."""
    return _RIGHTS.get(call, "")
