"""What rclone says of a fault of Azure's, over several lines, and of what was sent again."""

from __future__ import annotations

import pytest

from hps.tools.rclone import log
from hps.tools.rclone.errors import explain, last_failure

_RULE = "-" * 80
_REFUSED = f"""\
PUT http://127.0.0.1:10000/account/none/a%2Ff.bin
{_RULE}
RESPONSE 404: 404 The specified container does not exist.
ERROR CODE: ContainerNotFound
{_RULE}
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Error>
  <Code>ContainerNotFound</Code>
</Error>
{_RULE}
"""
_NO_TOKEN = f"""\
EnvironmentCredential authentication failed.
POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token
{_RULE}
RESPONSE 401: 401 Unauthorized
{_RULE}
{{
  "error": "invalid_client",
  "error_description": "AADSTS7000215: Invalid client secret provided. Trace ID: 1 Timestamp: 2"
}}
{_RULE}
"""


def _answered(status: int, code: str, reason: str = "Fault") -> str:
    named = f"ERROR CODE: {code}" if code else "ERROR CODE UNAVAILABLE"
    return (
        f"HEAD https://a.blob.core.windows.net/c/k\n{_RULE}\nRESPONSE {status}: {reason}\n{named}\n"
    )


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            f"failed to upload chunk 3 with 5242880 bytes: {_REFUSED}",
            "no_such_bucket",
            "part 3: the server answered 404 ContainerNotFound to PUT: The specified container"
            " does not exist",
        ),
        (
            f"error listing: {_NO_TOKEN}",
            "bad_credentials",
            "no token was given: AADSTS7000215: Invalid client secret provided",
        ),
        (
            'Failed to create file system for "az:c/a/": create new shared key credential failed:'
            " decode account key: illegal base64 data at input byte 1",
            "bad_credentials",
            "the account key is no base64: illegal base64 data at input byte 1",
        ),
        (
            'Failed to create file system for "az:c/a/": dial tcp 127.0.0.1:9: connect: connection'
            " refused",
            "refused",
            "127.0.0.1:9 refuses connections",
        ),
    ],
)
def test_what_is_known_is_said_in_words(said: str, code: str, text: str) -> None:
    why = explain(said)
    assert (why.code, why.text) == (code, text)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (403, "AuthenticationFailed", "bad_credentials"),
        (403, "AuthorizationPermissionMismatch", "no_permission"),
        (403, "AuthorizationFailure", "no_permission"),
        (403, "AccountIsDisabled", "account_closed"),
        (404, "BlobNotFound", "not_found"),
        (503, "ServerBusy", "throttled"),
        (500, "OperationTimedOut", "timeout"),
        (400, "Md5Mismatch", "corrupted"),
        (500, "InternalError", "server_error"),
        (400, "", "bad_endpoint"),  # no storage answers so
        (502, "", "server_error"),
    ],
)
def test_whose_fault_a_refusal_is(status: int, error: str, code: str) -> None:
    assert explain(_answered(status, error)).code == code


def test_a_message_of_several_lines_is_one() -> None:
    at = "2026/11/30 12:00:00"
    log = (
        f"{at} ERROR : f.bin: Failed to copy: {_REFUSED}"
        f"{at} NOTICE: Failed to copyto: something else\n"
    )
    why = last_failure(log)
    assert why is not None
    assert why.code == "no_such_bucket"
    # rclone ends some calls with a critical message, which is no error to it.
    log = f'{at} CRITICAL: Failed to create file system for "az:c/a/": {_REFUSED}'
    why = last_failure(log)
    assert why is not None
    assert why.text.endswith("to PUT: The specified container does not exist")


def test_what_azures_library_sends_again_is_a_retry() -> None:
    lines = (
        b"[Nov 30 12:00:01.000000] Retry: =====> Try=1 for PUT http://h/a/c/k?comp=REDACTED",
        b"[Nov 30 12:00:01.100000] Retry: response 404",
        b"[Nov 30 12:00:01.200000] Retry: response 503",
        b"[Nov 30 12:00:02.000000] Retry: =====> Try=2 for PUT http://h/a/c/k?comp=REDACTED",
        b"[Nov 30 12:00:02.100000] Request: ==> OUTGOING REQUEST (Try=2)",
        b"[Nov 30 12:00:02.100000] Retry: error dial tcp 127.0.0.1:9: connect: connection refused",
        b"[Nov 30 12:00:04.000000] Retry: =====> Try=3 for PUT http://h/a/c/k?comp=REDACTED",
    )
    assert log.parse(lines[:4]).retries == 1
    assert log.parse(lines[:4]).trouble == "the server answered 503"
    assert log.parse(lines).retries == 2
    assert log.parse(lines).trouble == "dial tcp 127.0.0.1:9: connect: connection refused"
