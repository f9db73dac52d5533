"""Faults that meet gsutil, which goes to hosts of Google's and Amazon's alone: here, by a proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hps.prove.http_head import RequestHead
from tests.command import Record, hps, keys_of
from tests.servers.faults import Action, Flip, Reset, Rule, Truncate, slow_down
from tests.servers.for_tool import needs
from tests.servers.forward import FaultyForwardProxy, OwnHost, own_host_targets
from tests.servers.s3_answers import refusal
from tests.servers.s3_server import S3Server

pytestmark = [pytest.mark.prove, needs("gsutil")]
Forward = Callable[..., tuple[FaultyForwardProxy, Path]]
_SPEC = """\
api: hps/v1
name: faults
{targets}
data: {{size: {size}}}
matrix: {{target: [s3], tool: [gsutil], settings: [default]}}
timeout: 100s
steps: [upload, download, verify, delete]
"""


@pytest.fixture(params=["gcs", "aws"])
def provider(request: pytest.FixtureRequest) -> OwnHost:
    """Whose hosts it goes to."""
    named: OwnHost = request.param
    return named


def _run(
    folder: Path,
    provider: OwnHost,
    server: S3Server,
    env: dict[str, str],
    ca_cert: Path | None,
    size: str = "12MiB",
) -> dict[str, Record]:
    spec = folder / "faults.yaml"
    targets = own_host_targets(provider, "https", server, ca_cert)
    spec.write_text(_SPEC.format(targets=targets, size=size))
    options = ("--no-check", "--output", folder / "out", "--format", "json")
    ran = hps("run", spec, *options, env=keys_of(server) | env)
    return {record["step"]: record for record in ran.results()}


def _payload(direction: str) -> Callable[[RequestHead], bool]:
    return lambda head: head.direction == direction and "/data/" in head.key


def _is_start(head: RequestHead) -> bool:
    begun = head.headers.get("x-goog-resumable") == "start"
    return begun or _payload("up")(head)


@pytest.mark.parametrize(
    "rule",
    [
        slow_down(match=_payload("up")),
        Rule(match=_payload("up"), action=Truncate(after_bytes=1000, reset=True)),
        Rule(match=_payload("down"), action=Truncate(after_bytes=1000, reset=True)),
    ],
    ids=["busy", "upload cut off", "download cut off"],
)
def test_what_fails_once_is_tried_again(
    rule: Rule, provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    once = Rule(match=rule.match, action=rule.action)
    proxy, ca_cert = forward_for(moto_server, rules=(once,))
    results = _run(tmp_path, provider, moto_server, proxy.env, ca_cert)
    assert {record["status"] for record in results.values()} == {"ok"}, results
    assert once.used == 1
    assert {results[step]["retries"] for step in ("upload", "download")} == {None}


def test_a_download_from_a_busy_server_is_not(
    provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    proxy, ca_cert = forward_for(moto_server, rules=(slow_down(match=_payload("down")),))
    download = _run(tmp_path, provider, moto_server, proxy.env, ca_cert)["download"]
    assert (download["status"], download["reason_code"]) == ("failed", "throttled")


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_flipped_bit_is_found_by_the_tool_itself(
    way: str, provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    flipped = Rule(match=_payload(way), action=Flip(at=1000))
    proxy, ca_cert = forward_for(moto_server, rules=(flipped,))
    results = _run(tmp_path, provider, moto_server, proxy.env, ca_cert)
    wrong = results["upload" if way == "up" else "download"]
    assert (wrong["status"], wrong["reason_code"]) == ("failed", "corrupted"), wrong["reason"]


# Of what was answered to the start of a larger upload it tells the status alone, to Google's.
@pytest.mark.parametrize("size", ["1MiB", "12MiB"])
@pytest.mark.parametrize(
    ("action", "code", "by_status"),
    [
        (refusal(403, "AccessDenied", "Access Denied"), "no_permission", "no_permission"),
        (refusal(403, "InvalidAccessKeyId", "No such key"), "bad_credentials", "no_permission"),
        (refusal(404, "NoSuchBucket", "There is none"), "no_such_bucket", "no_such_bucket"),
        (refusal(503, "SlowDown", "Not so fast"), "throttled", "throttled"),
        (Reset(), "connection_lost", "unreachable"),
    ],
)
def test_what_a_server_says_is_what_the_result_says(
    action: Action,
    code: str,
    by_status: str,
    size: str,
    provider: OwnHost,
    moto_server: S3Server,
    forward_for: Forward,
    tmp_path: Path,
) -> None:
    rule = Rule(match=_is_start, action=action, times=None)
    proxy, ca_cert = forward_for(moto_server, rules=(rule,))
    upload = _run(tmp_path, provider, moto_server, proxy.env, ca_cert, size)["upload"]
    said_in_full = provider == "aws" or size == "1MiB"
    expected = code if said_in_full else by_status
    assert (upload["status"], upload["reason_code"]) == ("failed", expected), upload["reason"]
    assert upload["reason"].startswith("gsutil exit code 1: ")


@pytest.mark.parametrize("size", ["1MiB", "12MiB"])
def test_a_certificate_that_nobody_vouches_for(
    size: str, provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    proxy, _ = forward_for(moto_server)
    upload = _run(tmp_path, provider, moto_server, proxy.env, None, size)["upload"]
    said_in_full = provider == "aws" or size == "1MiB"
    expected = "bad_certificate" if said_in_full else "unreachable"
    assert (upload["status"], upload["reason_code"]) == ("failed", expected), upload["reason"]
    assert proxy.requests() == ()


def test_a_port_that_nobody_listens_on(
    provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    proxy, ca_cert = forward_for(moto_server)
    env = {
        name: "http://127.0.0.1:9" if "no" not in name.lower() else value
        for name, value in proxy.env.items()
    }
    upload = _run(tmp_path, provider, moto_server, env, ca_cert, "1MiB")["upload"]
    assert (upload["status"], upload["reason_code"]) == ("failed", "refused"), upload["reason"]


def test_no_secret_is_in_what_is_stored(
    provider: OwnHost, moto_server: S3Server, forward_for: Forward, tmp_path: Path
) -> None:
    refused = refusal(403, "SignatureDoesNotMatch", moto_server.secret_access_key)
    proxy, ca_cert = forward_for(
        moto_server, rules=(Rule(match=_is_start, action=refused, times=None),)
    )
    upload = _run(tmp_path, provider, moto_server, proxy.env, ca_cert, "1MiB")["upload"]
    assert upload["reason_code"] == "bad_credentials"
    stored = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.*"))
    assert "$TEST_SECRET" in stored
    assert moto_server.secret_access_key not in stored
