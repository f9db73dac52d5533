"""Faults that meet tools other than rclone: each has a code, none is a number, none hangs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from hps.catalog.tools import TOOL_FACTS
from hps.prove.http_head import RequestHead
from tests.command import Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Flip, Reset, Rule, Truncate, slow_down
from tests.servers.for_tool import needs, server_for
from tests.servers.nginx_tls import TlsFront
from tests.servers.s3_answers import call_of, refusal
from tests.servers.s3_server import S3Server

pytestmark = pytest.mark.prove
_OTHERS = [
    name
    for name, facts in TOOL_FACTS.items()
    if name != "rclone" and "s3" in facts.speaks and not facts.only_at  # see test_gsutil.py
]
_TRAILING = ("boto3", "aws")
# Of each direction, those that show which requests they sent again.
_COUNTS = {"up": {"s5cmd", "boto3"}, "down": {"s5cmd", "boto3", "s3parcp"}}
_SPEC = """\
api: hps/v1
name: tools
{targets}
data: {{size: 12MiB}}
matrix: {{target: [s3], tool: [{tool}], chunk_size: [5MiB], concurrency: [2]}}
timeout: 100s
steps: [upload, download, delete]
"""


def _params(names: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=needs(name)) for name in names]


@pytest.fixture(params=_params(_OTHERS))
def tool(request: pytest.FixtureRequest) -> str:
    """Each but rclone, which has tests of its own."""
    return str(request.param)


@pytest.fixture
def server(tool: str, request: pytest.FixtureRequest) -> S3Server:
    """One that the tool works with."""
    return server_for(tool, request)


def _run(
    tool: str, endpoint: str, server: S3Server, folder: Path, ca_cert: Path | None = None
) -> dict[str, Record]:
    spec = folder / "tools.yaml"
    targets = targets_yaml(endpoint, server, ca_cert=ca_cert)
    spec.write_text(_SPEC.format(targets=targets, tool=tool))
    options = ("--no-check", "--output", folder / "out", "--format", "json")
    ran = hps("run", spec, *options, env=keys_of(server))
    return {record["step"]: record for record in ran.results()}


def _first(direction: str) -> Callable[[RequestHead], bool]:
    """The first request with payload of a file that the run measures."""
    return lambda head: head.direction == direction and "/data/" in head.key


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    way: str, tool: str, server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(server, rules=(slow_down(match=_first(way)),))
    results = _run(tool, proxy.endpoint, server, tmp_path)

    assert {step: record["status"] for step, record in results.items()} == dict.fromkeys(
        ("upload", "download", "verify", "delete"), "ok"
    ), results
    busy = results["upload" if way == "up" else "download"]
    assert busy["retries"] == (1 if tool in _COUNTS[way] else None), "only some say so"


def test_a_download_that_is_cut_off_goes_on_and_says_so(
    tool: str, server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    cut = Rule(match=_first("down"), action=Truncate(after_bytes=1000, reset=True))
    results = _run(tool, proxy_for(server, rules=(cut,)).endpoint, server, tmp_path)

    assert results["verify"]["status"] == "ok", results["download"]["reason"]
    assert results["download"]["retries"] == (1 if tool in _COUNTS["down"] else None)


def test_a_flipped_bit_in_a_download_is_found_by_the_verify_that_is_added(
    tool: str, server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    flipped = Rule(match=_first("down"), action=Flip(at=1000))
    results = _run(tool, proxy_for(server, rules=(flipped,)).endpoint, server, tmp_path)

    assert results["upload"]["status"] == "ok"
    assert results["verify"]["reason"] == "1 of 1 files differ: 0.bin has other content"
    assert (results["download"]["status"], results["download"]["reason_code"]) == (
        "failed",
        "corrupted",
    )
    assert results["download"]["throughput_mbps"] is None


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (refusal(403, "AccessDenied", "Access Denied"), "no_permission"),
        (refusal(404, "NoSuchBucket", "There is none"), "no_such_bucket"),
        (refusal(403, "InvalidAccessKeyId", "No such key"), "bad_credentials"),
        (Reset(), "connection_lost"),
    ],
)
def test_what_a_server_says_is_what_the_result_says(
    action: Action, code: str, tool: str, server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    starts = {"CreateMultipartUpload", "PutObject"}
    rule = Rule(match=lambda head: call_of(head) in starts, action=action, times=None)
    results = _run(tool, proxy_for(server, rules=(rule,)).endpoint, server, tmp_path)

    upload = results["upload"]
    assert (upload["status"], upload["reason_code"]) == ("failed", code), upload["reason"]
    assert upload["reason"].startswith(f"{tool} exit code 1: ")
    assert {results[step]["status"] for step in ("download", "verify")} == {"skipped"}


def test_a_port_that_nobody_listens_on(tool: str, server: S3Server, tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        upload = _run(tool, endpoint, server, tmp_path)["upload"]
    assert upload["status"] == "failed"
    # The AWS CLI does not say why it could not connect.
    assert upload["reason_code"] == ("unreachable" if tool == "aws" else "refused")


def test_a_certificate_that_nobody_vouches_for(
    tool: str, server: S3Server, tls_front: Callable[..., TlsFront], tmp_path: Path
) -> None:
    front = tls_front(server.endpoint)
    upload = _run(tool, front.endpoint, server, tmp_path)["upload"]
    assert upload["status"] == "failed"
    assert upload["reason_code"] == "bad_certificate", upload["reason"]


def test_a_server_without_tls_where_tls_was_asked_for(
    tool: str, server: S3Server, tmp_path: Path
) -> None:
    upload = _run(tool, server.endpoint.replace("http:", "https:"), server, tmp_path)["upload"]
    assert upload["status"] == "failed"
    known = {"bad_endpoint", "connection_lost", "tls"}
    assert upload["reason_code"] in known, upload["reason"]


@pytest.mark.parametrize("tool", _params(_TRAILING))
def test_a_server_that_takes_no_checksum_after_a_body(
    tool: str, s3_server: S3Server, tls_front: Callable[..., TlsFront], tmp_path: Path
) -> None:
    """Without TLS the same tools send it in a head, which every server takes."""
    front = tls_front(s3_server.endpoint)
    upload = _run(tool, front.endpoint, s3_server, tmp_path, front.ca_cert)["upload"]
    assert (upload["status"], upload["reason_code"]) == ("failed", "bad_request")
    assert upload["reason"].endswith(
        "(this server takes no checksum after the body: set checksum: false)"
    )
