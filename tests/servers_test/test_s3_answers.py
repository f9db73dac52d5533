"""Mistakes are answered as real servers do, to the calls that they stand for, and to no other."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hps.catalog.failures import KINDS
from hps.prove.http_head import RequestHead, parse_request
from tests.conftest import ProxyFor
from tests.servers.faults import Respond, Rule
from tests.servers.mistakes import ELSEWHERE, MISTAKES
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_client import log_messages, remote_environment, run_rclone
from tests.servers.s3_answers import Mistake, call_of, hides_missing_keys, refusal
from tests.servers.s3_server import S3Server

_ALL = (*MISTAKES, *ELSEWHERE)
_BRIEF = ("--retries", "1", "--low-level-retries", "1", "--use-json-log")
_WHOLE = ("--no-check-dest", "--ignore-times", *_BRIEF)
_PARTS = ("--s3-upload-cutoff", "0", "--s3-chunk-size", "5Mi", *_WHOLE)


def _named(name: str) -> Mistake:
    (found,) = [mistake for mistake in _ALL if mistake.name == name]
    return found


def _rclone(proxy: RecordingProxy, server: S3Server, *args: str) -> CompletedProcess[str]:
    return run_rclone(args, env=remote_environment(server, proxy.endpoint), check=False)


def test_every_mistake_has_a_name_of_its_own() -> None:
    assert len({mistake.name for mistake in _ALL}) == len(_ALL)


def test_only_a_mistake_belongs_to_the_experiment() -> None:
    assert {mistake.owner for mistake in MISTAKES} == {"experiment"}
    assert {mistake.owner for mistake in ELSEWHERE} == {"node", "target"}


def test_every_code_that_exists_has_the_owner_that_is_expected() -> None:
    known = [mistake for mistake in _ALL if mistake.code in KINDS]
    assert [m.name for m in known if KINDS[m.code].owner != m.owner] == []


def test_an_s3_error_is_xml_with_a_code_and_a_page_is_none() -> None:
    answers = [mistake.answer for mistake in _ALL]
    errors = [a for a in answers if a.headers.get("Content-Type") == "application/xml"]
    pages = [a for a in answers if a.body and a not in errors]
    assert all(ET.fromstring(answer.body).findtext("Code") for answer in errors)
    assert all(answer.body.startswith(b"<!DOCTYPE html>") for answer in pages)
    assert len(errors) > len(pages) > 0


def test_calls_have_the_names_that_the_api_gives_them(
    moto_server: S3Server, proxy_for: ProxyFor, payload_15mib: Path, tmp_path: Path
) -> None:
    calls: list[str] = []

    def noted(head: RequestHead) -> bool:
        calls.append(call_of(head))
        return False

    proxy = proxy_for(moto_server, rules=(Rule(match=noted, action=Respond(status=500)),))
    place = f"T:{moto_server.bucket}/calls"
    _rclone(proxy, moto_server, "copyto", str(payload_15mib), f"{place}/a", *_PARTS)
    assert calls == [
        "CreateMultipartUpload",
        *["UploadPart"] * 3,
        "CompleteMultipartUpload",
        "HeadObject",
    ]
    for args, call in (
        (
            ("copyto", str(payload_15mib), f"{place}/b", *_WHOLE, "--s3-upload-cutoff=5G"),
            "PutObject",
        ),
        (("copyto", f"{place}/b", f"{place}/c", "--ignore-times"), "CopyObject"),
        (("copyto", f"{place}/c", str(tmp_path / "got")), "GetObject"),
        (("lsf", f"{place}/", "--s3-list-version=1"), "ListObjectsV2"),
        (("lsf", f"{place}/", "--s3-list-version=2"), "ListObjectsV2"),
        (("backend", "list-multipart-uploads", place), "ListMultipartUploads"),
        (("delete", place), "DeleteObject"),
    ):
        calls.clear()
        assert _rclone(proxy, moto_server, *args).returncode == 0
        assert call in calls, args


@pytest.mark.parametrize(
    ("method", "target", "call"),
    [
        ("POST", "/b?delete", "DeleteObjects"),
        ("DELETE", "/b/k?uploadId=1", "AbortMultipartUpload"),
        ("GET", "/b/k?uploadId=1", "ListParts"),
        ("HEAD", "/b", "HeadBucket"),
        ("PUT", "/b", "CreateBucket"),
        ("GET", "/b?location", "GetBucketLocation"),
        ("OPTIONS", "/b/k", ""),
    ],
)
def test_calls_that_rclone_seldom_makes(method: str, target: str, call: str) -> None:
    head = parse_request(f"{method} {target} HTTP/1.1\r\n\r\n".encode())
    assert call_of(head) == call


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrong_secret_aws", "StatusCode: 403, RequestID: A1B2, HostID: , api error Signature"),
        ("wrong_secret_ceph", "api error SignatureDoesNotMatch: UnknownError"),
        ("wrong_key_r2", "StatusCode: 401, RequestID: A1B2, HostID: , api error Unauthorized"),
        ("redirect_aws", "api error PermanentRedirect: The bucket you are attempting"),
        ("redirect_aws", 'set region to "eu-north-1" as endpoint is set'),
        ("full_507", "StatusCode: 507, RequestID: , HostID: , api error InsufficientStorage"),
        ("firewall_page", "api error Forbidden: Forbidden"),
        ("proxy_password", "api error ProxyAuthenticationRequired"),
        ("slow_down", "api error SlowDown: Please reduce your request rate."),
    ],
)
def test_rclone_understands_them(
    name: str, told: str, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_named(name).rule(),))
    (tmp_path / "sent").write_bytes(b"payload")
    place = f"T:{s3_server.bucket}/answers/{name}"
    done = _rclone(proxy, s3_server, "copyto", str(tmp_path / "sent"), place, *_WHOLE)
    assert done.returncode != 0
    assert told in "\n".join(log_messages(done.stderr))


def test_a_missing_right_hinders_nothing_else(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_named("no_right_DeleteObject").rule(),))
    (tmp_path / "sent").write_bytes(b"payload")
    place = f"T:{s3_server.bucket}/answers/right"
    sent = _rclone(proxy, s3_server, "copyto", str(tmp_path / "sent"), place, *_WHOLE)
    deleted = _rclone(proxy, s3_server, "deletefile", place, *_BRIEF)
    assert (sent.returncode, deleted.returncode) == (0, 1)
    assert [r.status for r in proxy.requests() if r.method == "DELETE"] == [403]


def test_a_mistake_that_ends(s3_server: S3Server, proxy_for: ProxyFor) -> None:
    proxy = proxy_for(s3_server, rules=(_named("no_lists").rule(times=1),))
    listing = ("lsf", f"T:{s3_server.bucket}/", *_BRIEF)
    ends = [_rclone(proxy, s3_server, *listing).returncode for _ in range(2)]
    assert ends == [1, 0]


def test_missing_keys_are_hidden_and_those_that_are_there_are_not(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    denied = refusal(403, "AccessDenied", "Access Denied")
    proxy = proxy_for(s3_server, rules=(hides_missing_keys(denied),))
    (tmp_path / "sent").write_bytes(b"payload")
    place = f"T:{s3_server.bucket}/answers/hidden"
    before = _rclone(proxy, s3_server, "copyto", place, str(tmp_path / "got"), *_BRIEF)
    sent = _rclone(proxy, s3_server, "copyto", str(tmp_path / "sent"), place, *_WHOLE)
    after = _rclone(proxy, s3_server, "copyto", place, str(tmp_path / "got"), *_BRIEF)
    assert (before.returncode, sent.returncode, after.returncode) == (1, 0, 0)
    assert next(r.status for r in proxy.requests() if r.method == "HEAD") == 403
