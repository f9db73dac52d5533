"""Mistakes by name: what each server answers to them, and what failure that is.

Texts and codes: "Error responses" of the Amazon S3 API reference; "Error codes" of Cloudflare R2;
"HTTP status and error codes for XML" of Google Cloud Storage; the sources of Ceph's `rgw`, of MinIO
(`cmd/api-errors.go`) and of Garage (`src/api`); what Backblaze B2 was seen to send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hps.model import Owner
from tests.servers.faults import Respond
from tests.servers.s3_answers import Mistake, refusal

REGION = "eu-north-1"
_PUTS = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
_LISTS = ("ListObjectsV2",)
_DELETES = ("DeleteObject", "DeleteObjects")
_RIGHTS: Mapping[str, tuple[str, ...]] = {
    "s3:PutObject": _PUTS,
    "s3:GetObject": ("GetObject", "HeadObject"),
    "s3:ListBucket": _LISTS,
    "s3:DeleteObject": _DELETES,
    "s3:AbortMultipartUpload": ("AbortMultipartUpload",),
}

# The name, the provider, the status and the error's code; and the message, "" where there is none.
_Answers = Mapping[str, str]
_BAD_KEYS: _Answers = {
    "wrong_secret_aws aws 403 SignatureDoesNotMatch": (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    ),
    "wrong_secret_garage garage 403 AccessDenied": "Forbidden: Invalid signature",
    "wrong_secret_ceph ceph 403 SignatureDoesNotMatch": "",
    "wrong_key_aws aws 403 InvalidAccessKeyId": (
        "The AWS Access Key Id you provided does not exist in our records."
    ),
    "wrong_key_garage garage 403 AccessDenied": "Forbidden: No such key: GK31c2f218a2e4",
    "wrong_key_r2 cloudflare 401 Unauthorized": "Unauthorized",
    "short_key_r2 cloudflare 400 InvalidArgument": (
        "Credential access key has length 20, should be 32"
    ),
    "wrong_key_gcs gcs 403 InvalidSecurity": "The provided security credentials are not valid.",
    "wrong_key_b2 backblaze 403 InvalidAccessKeyId": "Malformed Access Key Id",
    "wrong_token aws 400 InvalidToken": "The provided token is malformed or otherwise invalid.",
}
_EXPIRED: _Answers = {
    "expired_token aws 400 ExpiredToken": "The provided token has expired.",
    "token_to_refresh aws 400 TokenRefreshRequired": "The provided token must be refreshed.",
    "expired_request_r2 cloudflare 400 ExpiredRequest": "Request has expired.",
}
_DENIED: _Answers = {"no_right_at_all aws 403 AccessDenied": "Access Denied"}
_LOCKED: _Answers = {
    "locked_r2 cloudflare 403 ObjectLockedByBucketPolicy": "Locked by a rule of the bucket.",
    "locked_minio minio 400 InvalidRequest": "Object is WORM protected and cannot be overwritten",
}
_NO_BUCKET: _Answers = {
    "no_bucket_aws aws 404 NoSuchBucket": "The specified bucket does not exist",
    "no_bucket_ceph ceph 404 NoSuchBucket": "",
    "bucket_name aws 400 InvalidBucketName": "The specified bucket is not valid.",
    "access_point aws 400 InvalidAccessPoint": "The specified access point name is not valid.",
}
_SOME_REGION: _Answers = {
    "region_minio minio 400 InvalidRegion": "Region does not match.",
    "region_r2 cloudflare 400 InvalidRegionName": (
        "The region name 'us-east-3' is not valid. "
        "Must be one of: wnam, enam, weur, eeur, apac, oc, auto"
    ),
    "location_aws aws 400 IllegalLocationConstraintException": (
        "The unspecified location constraint is incompatible for the region specific endpoint "
        "this request was sent to."
    ),
}
# These name the right one, in their text or beside it.
_OTHER_REGION: _Answers = {
    "region_aws aws 400 AuthorizationHeaderMalformed": (
        "The authorization header is malformed; the region 'us-east-1' is wrong; "
        f"expecting '{REGION}'"
    ),
    "region_garage garage 400 AuthorizationHeaderMalformed": (
        "Authorization header malformed, unexpected scope: '20260923/us-east-1/s3/aws4_request', "
        f"expected: '20260923/{REGION}/s3/aws4_request'"
    ),
    "redirect_aws aws 301 PermanentRedirect": (
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint."
    ),
}
_FULL: _Answers = {
    "quota_ceph ceph 403 QuotaExceeded": "",
    "quota_minio minio 400 XMinioAdminBucketQuotaExceeded": "Bucket quota exceeded",
    "full_minio minio 507 XMinioStorageFull": (
        "Storage backend has reached its minimum free drive threshold."
    ),
    "cap_b2 backblaze 403 AccessDenied": (
        "Cannot upload files, storage cap exceeded. See the Caps & Alerts page."
    ),
}
_CLOSED: _Answers = {
    "disabled_aws aws 403 AllAccessDisabled": "All access to this object has been disabled",
    "account_aws aws 403 AccountProblem": "There is a problem with your AWS account.",
    "not_signed_up aws 403 NotSignedUp": "Your account is not signed up for the service.",
    "suspended_ceph ceph 403 UserSuspended": "",
    "billing_gcs gcs 403 UserProjectAccountProblem": (
        "The project to be billed is associated with an absent billing account."
    ),
    "no_plan_r2 cloudflare 403 NotEntitled": "Account is not entitled to use R2.",
}
_HEADER = "A header you provided implies functionality that is not implemented"
_METHOD = "The specified method is not allowed against this resource."
_DIGEST: _Answers = {"digest aws 400 InvalidDigest": "The Content-MD5 you specified is not valid."}
_PARTS: _Answers = {
    "small_parts aws 400 EntityTooSmall": (
        "Your proposed upload is smaller than the minimum allowed size"
    ),
    "unequal_parts_r2 cloudflare 400 InvalidPart": (
        "All non-trailing parts must have the same length."
    ),
}
_BUSY: _Answers = {
    "slow_down aws 503 SlowDown": "Please reduce your request rate.",
    "slow_down_minio minio 503 SlowDownWrite": "Resource requested is unwritable.",
    "too_many_r2 cloudflare 429 TooManyRequests": "Rate limit exceeded.",
}
_BROKEN: _Answers = {
    "internal aws 500 InternalError": "We encountered an internal error. Please try again.",
    "unavailable cloudflare 503 ServiceUnavailable": "Service is temporarily unavailable.",
}
_CHANGED: _Answers = {
    "changed aws 400 XAmzContentSHA256Mismatch": (
        "The provided 'x-amz-content-sha256' header does not match what was computed."
    )
}
_SKEWED: _Answers = {
    "skewed aws 403 RequestTimeTooSkewed": (
        "The difference between the request time and the current time is too large."
    )
}


def _said(
    owner: Owner, code: str, answers: _Answers, *, calls: tuple[str, ...] = (), **more: str
) -> Iterator[Mistake]:
    """Refusals as S3 has them that come to the same failure; `more` stands in each of them."""
    for head, message in answers.items():
        name, provider, status, error = head.split()
        answer = refusal(int(status), error, message, **more)
        yield from _other(owner, code, {f"{name} {provider}": answer}, calls=calls)


def _other(
    owner: Owner, code: str, answers: Mapping[str, Respond], *, calls: tuple[str, ...] = ()
) -> Iterator[Mistake]:
    """Any answers: by name and provider."""
    for head, answer in answers.items():
        name, provider = head.split()
        yield Mistake(
            name=name, provider=provider, code=code, owner=owner, answer=answer, calls=calls
        )


def _rights() -> Iterator[Mistake]:
    """One right is missing, all others are there."""
    for right, calls in _RIGHTS.items():
        (mistake,) = _said("experiment", "no_permission", _DENIED, calls=calls)
        yield replace(mistake, name=f"no_right_{right.removeprefix('s3:')}", says=right)


def _other_regions() -> Iterator[Mistake]:
    named, place = {"x-amz-bucket-region": REGION}, f"bucket.s3.{REGION}.amazonaws.com"
    said = _said("experiment", "wrong_region", _OTHER_REGION, Region=REGION, Endpoint=place)
    for mistake in said:
        answer = replace(mistake.answer, headers={**mistake.answer.headers, **named})
        yield replace(mistake, answer=answer, says=REGION)
    # A HEAD has no text that could tell more. All else is as it should be, so that it decides.
    heads = {
        "head_400 aws": Respond(status=400),
        "head_301 aws": Respond(status=301, headers=named),
    }
    yield from _other("experiment", "wrong_region", heads, calls=("HeadObject", "HeadBucket"))


def _page(status: int, title: str) -> Respond:
    """A page for people where a program expected S3."""
    body = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>{title}</body></html>"
    return Respond(status=status, body=body.encode(), headers={"Content-Type": "text/html"})


def _unable() -> Iterator[Mistake]:
    code = "not_implemented"
    for name, calls in {"no_multipart": ("CreateMultipartUpload",), "no_lists": _LISTS}.items():
        missing = {f"{name} other 501 NotImplemented": _HEADER}
        yield from _said("experiment", code, missing, calls=calls)
    no_delete = {"no_delete aws 405 MethodNotAllowed": _METHOD}
    yield from _said("experiment", code, no_delete, calls=_DELETES)


_PAGES = {
    "login_page other": _page(200, "Please log in"),
    "page_404 other": _page(404, "404 Not Found"),
    "firewall_page other": _page(403, "Request blocked"),
}
_ASKS = {
    "proxy_password other": Respond(
        status=407, headers={"Proxy-Authenticate": 'Basic realm="proxy"'}
    )
}

MISTAKES: tuple[Mistake, ...] = (
    *_said("experiment", "bad_credentials", _BAD_KEYS),
    *_said("experiment", "expired_credentials", _EXPIRED),
    *_said("experiment", "no_permission", _DENIED),
    *_rights(),
    *_said("experiment", "no_permission", _LOCKED, calls=_DELETES),
    *_said("experiment", "no_such_bucket", _NO_BUCKET),
    *_said("experiment", "wrong_region", _SOME_REGION),
    *_other_regions(),
    *_said("experiment", "quota", _FULL, calls=_PUTS),
    *_other("experiment", "quota", {"full_507 other": Respond(status=507)}, calls=_PUTS),
    *_said("experiment", "account_closed", _CLOSED),
    *_unable(),
    *_said("experiment", "bad_request", _DIGEST, calls=("PutObject",)),
    *_said("experiment", "bad_request", _PARTS, calls=("CompleteMultipartUpload",)),
    *_other("experiment", "bad_endpoint", _PAGES),
    *_other("experiment", "bad_proxy", _ASKS),
)
# Nobody's mistake: on another node it may be otherwise.
ELSEWHERE: tuple[Mistake, ...] = (
    *_said("node", "clock_skew", _SKEWED),
    *_said("target", "throttled", _BUSY),
    *_said("target", "server_error", _BROKEN),
    *_other("target", "server_error", {"bad_gateway other": _page(502, "502 Bad Gateway")}),
    *_said("target", "corrupted", _CHANGED, calls=("PutObject",)),
)
