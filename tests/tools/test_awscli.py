"""The AWS CLI: which program is taken, how it is called, and what its output comes to."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from hps.model import Operation, Target, Transfer
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Installed, Job, Missing, Movement, Ran
from tests.builders import MIB, S3, make_operation, make_running, make_transfer
from tests.command import Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Respond, Rule, slow_down
from tests.servers.proxy import data_requests, peak_in_flight
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

AWS = TOOLS["aws"]
_FOLDER = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")
_PLACE = f"s3://{S3.bucket}/{S3.folder}/{_FOLDER.key}"
_PYTHON = f"#!{sys.executable}\n"


# --- the program ---------------------------------------------------------------------------------


def _program(path: Path, said: str, start: str = _PYTHON) -> str:
    path.write_text(f"{start}print('''{said}''')\n")
    path.chmod(0o755)
    return str(path)


def test_the_one_beside_this_python_is_taken() -> None:
    beside = Path(sys.executable).with_name("aws")
    assert AWS.find({}) == Installed(program=str(beside), version="1.46.3")


def test_another_one_may_be_named(tmp_path: Path) -> None:
    said = "aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0 source/x86_64.debian.12 prompt/off"
    named = _program(tmp_path / "aws", said)
    assert AWS.find({"HPS_AWS": named}) == Installed(program=named, version="2.9.19")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("aws-cli/1.19.1 Python/3.9", "{} is the AWS CLI 1.19.1, which is too old"),
        ("aws-cli/2.4.5 Python/3.9", "{} is the AWS CLI 2.4.5, which is too old"),
        ("something else", "{} does not answer like the AWS CLI"),
    ],
)
def test_what_is_not_as_needed_is_said(tmp_path: Path, said: str, why: str) -> None:
    named = _program(tmp_path / "aws", said)
    assert _why_missing(named) == why.format(named)


@pytest.mark.parametrize("start", ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "#!/bin/dash -e\n"])
def test_a_shell_script_that_starts_another_program_is_none(tmp_path: Path, start: str) -> None:
    named = _program(tmp_path / "aws", "aws-cli/1.46.3", start)
    assert "is a shell script that starts another program" in _why_missing(named)


@pytest.mark.parametrize("named", ["/nowhere/aws", "/"])
def test_what_is_no_program_is_said(named: str) -> None:
    assert _why_missing(named) == f"'{named}' is no program"


def _why_missing(named: str) -> str:
    found = AWS.find({"HPS_AWS": named})
    assert isinstance(found, Missing)
    assert "HPS_AWS" in found.how_to_get
    return found.why


# --- the call ------------------------------------------------------------------------------------


def _job(
    movement: Movement = "upload",
    name: str | None = "0.bin",
    *,
    target: Target = S3,
    files: int = 1,
    **changes: object,
) -> Job:
    transfer: Transfer = make_transfer(**changes)
    return Job(
        movement=movement,
        target=replace(target, ca_cert="/etc/ca.pem"),
        folder=_FOLDER,
        local="/tmp/a b",
        name=name,
        settings=transfer,
        size_bytes=40 * MIB,
        files=files,
    )


@pytest.mark.parametrize(
    ("job", "ways"),
    [
        (_job("upload"), ("/tmp/a b/0.bin", f"{_PLACE}/0.bin")),
        (_job("download"), (f"{_PLACE}/0.bin", "/tmp/a b/0.bin")),
        (_job("upload", None, files=3), ("/tmp/a b/", f"{_PLACE}/")),
        (_job("download", None, files=3), (f"{_PLACE}/", "/tmp/a b/")),
    ],
)
def test_a_single_file_is_named_and_a_folder_has_a_slash(job: Job, ways: tuple[str, str]) -> None:
    args = AWS.call(job).args
    assert args[-2:] == ways
    assert ("--recursive" in args) == (job.name is None)


def _settings(job: Job) -> Mapping[str, str]:
    first, second, *lines = AWS.call(job).files["AWS_CONFIG_FILE"].splitlines()
    assert (first, second) == ("[default]", "s3 =")
    pairs = (line.split(" = ") for line in lines if line.startswith("    "))
    return {name.strip(): value for name, value in pairs}


def test_knobs_stand_in_its_file_of_settings() -> None:
    job = _job(chunk_size_bytes=7 * MIB, concurrency=3, transfers=4)
    assert _settings(job) == {
        "multipart_threshold": str(7 * MIB + 1),
        "multipart_chunksize": str(7 * MIB),
        "max_concurrent_requests": "3",
        "addressing_style": "path",
        "preferred_transfer_client": "default",
    }


@pytest.mark.parametrize("transfers", [1, 2])
def test_several_files_have_as_many_requests_as_files_at_once(transfers: int) -> None:
    job = _job("download", None, files=3, concurrency=8, transfers=transfers)
    assert _settings(job)["max_concurrent_requests"] == str(transfers)


def test_a_bucket_may_stand_in_the_name_of_the_host() -> None:
    target = replace(S3, force_path_style=False)
    assert _settings(_job(target=target))["addressing_style"] == "virtual"


def test_nothing_is_left_to_a_machine_and_secrets_are_not_shown() -> None:
    call = AWS.call(_job())
    env = call.access.env
    assert "AWS_CONFIG_FILE" not in env, "it is one of the call's own"
    assert (env["HOME"], env["AWS_SHARED_CREDENTIALS_FILE"]) == (os.devnull, os.devnull)
    assert env["AWS_EC2_METADATA_DISABLED"] == "true"
    assert env["AWS_CA_BUNDLE"] == "/etc/ca.pem"
    assert (env["AWS_MAX_ATTEMPTS"], env["AWS_RETRY_MODE"]) == ("3", "standard")
    assert {"--cli-connect-timeout=10", "--cli-read-timeout=60"} <= set(call.args)
    assert 'AWS_SECRET_ACCESS_KEY="$TEST_SECRET"' in call.shown()
    assert f"--endpoint-url={S3.endpoint}" in call.args


@pytest.mark.parametrize(
    ("checksum", "asked"), [(True, "when_supported"), (False, "when_required")]
)
def test_the_kind_of_checksum_is_named(*, checksum: bool, asked: str) -> None:
    env = AWS.call(_job(checksum=checksum)).access.env
    assert env["AWS_REQUEST_CHECKSUM_CALCULATION"] == asked
    assert env["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_required"


def test_amazons_own_address_is_left_to_it_and_a_public_bucket_is_not_signed_for() -> None:
    public = replace(S3, provider="aws", endpoint=None, access_key_id=None, secret_access_key=None)
    args = AWS.call(_job(target=public)).args
    assert not any(arg.startswith("--endpoint-url") for arg in args)
    assert "--no-sign-request" in args
    assert "--no-sign-request" not in AWS.call(_job()).args


# --- its file of settings ------------------------------------------------------------------------


def test_its_file_is_private_and_new_for_each_call(tmp_path: Path) -> None:
    for chunk_mib in (5, 6):
        call = AWS.call(_job(chunk_size_bytes=chunk_mib * MIB))
        call.write_files(tmp_path)
        written = tmp_path / "AWS_CONFIG_FILE"
        assert written.read_text() == call.files["AWS_CONFIG_FILE"]
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    secrets = {"TEST_KEY_ID": "a" * 20, "TEST_SECRET": "b" * 40}
    call = replace(call, access=replace(call.access, ca_cert=None))
    assert call.command("aws", secrets, tmp_path).env["AWS_CONFIG_FILE"] == str(written)
    with pytest.raises(ValueError, match="AWS_CONFIG_FILE"):
        call.command("aws", secrets)


def test_a_printed_command_makes_its_file(tmp_path: Path) -> None:
    shown = AWS.call(_job("download", None, files=2)).shown()
    assert "\n" not in shown
    (tmp_path / "bin").mkdir()
    _program(tmp_path / "bin" / "aws", "", '#!/bin/sh\ncat "$AWS_CONFIG_FILE"\nexit\n')
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "WORK": f"{tmp_path}"}
    done = subprocess.run(["sh", "-c", shown], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == AWS.call(_job("download", None, files=2)).files["AWS_CONFIG_FILE"]


# --- what it did ---------------------------------------------------------------------------------


def _ran(folder: Path, operation: Operation, out: str, err: str = "", *, at_once: int = 2) -> Ran:
    (folder / "out").write_text(out)
    (folder / "log").write_text(err)
    ended = Exit(
        returncode=1 if err else 0,
        ended="exit",
        started_at=datetime(2026, 11, 22, tzinfo=UTC),
        duration_s=2.0,
    )
    return Ran(
        operation=operation,
        ended=ended,
        out=folder / "out",
        log=folder / "log",
        counter=ConnectionCounter(samples=9, most_with_payload=at_once),
        offers_http2=False,
        clean=lambda said: said.replace("hidden", "***"),
    )


_UPLOAD = make_operation("upload", tool="aws", size=12 * MIB, chunk_size=5 * MIB, concurrency=2)
_UPLOADED = "upload: ../p/0.bin to s3://b/k/0.bin\n"


@pytest.mark.parametrize(("at_once", "claimed"), [(2, 2), (1, None)])
def test_streams_are_its_connections(tmp_path: Path, at_once: int, claimed: int | None) -> None:
    seen = AWS.read(_ran(tmp_path, _UPLOAD, _UPLOADED, at_once=at_once))
    assert (seen.wrong, seen.proof) == (None, "sockets")
    assert seen.effective is not None
    assert seen.effective.concurrency == claimed
    assert (seen.observed.bytes, seen.observed.chunks) == (12 * MIB, None)
    assert seen.observed.peak_in_flight == at_once


@pytest.mark.parametrize(
    ("out", "wrong"),
    [
        ("", "aws's log shows no transfer"),
        (_UPLOADED * 2, "aws copied 2 of 1 files"),
        (_UPLOADED.replace("upload", "download"), "aws's log shows no transfer"),
    ],
)
def test_other_than_the_files_that_were_meant_is_invalid(
    tmp_path: Path, out: str, wrong: str
) -> None:
    seen = AWS.read(_ran(tmp_path, _UPLOAD, out))
    assert seen.wrong is not None
    assert (seen.wrong.code, seen.wrong.text) == ("not_as_declared", wrong)


def test_a_file_that_has_come_down_is_named(tmp_path: Path) -> None:
    running = make_running(tmp_path, name=None)
    arrivals = AWS.arrivals(running)
    assert list(arrivals.new()) == []
    running.out.write_text(
        f"download: {_PLACE}/3/07.bin to ../{tmp_path.name}/3/07.bin\nwarning: of something\n"
    )
    (arrived,) = arrivals.new()
    assert (arrived.name, arrived.start, arrived.stop) == ("3/07.bin", 0, None)
    assert not arrivals.grows
    partial = tmp_path / "0.bin.1a2B3c4D"
    partial.touch()
    assert list(arrivals.places(tmp_path / "0.bin")) == [partial, tmp_path / "0.bin"]


# --- what went wrong -----------------------------------------------------------------------------

_UP = "upload failed: ../a b/0.bin to s3://proxy/timed out/0.bin "
_REFUSED = "An error occurred ({}) when calling the {} operation: {}"


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            _UP + _REFUSED.format("NoSuchBucket", "CreateMultipartUpload", "There is none"),
            *("no_such_bucket", "the server answered NoSuchBucket to CreateMultipartUpload: There"),
        ),
        (
            _UP + _REFUSED.format("AccessDenied", "PutObject", "Access Denied"),
            *("no_permission", "the server answered AccessDenied to PutObject: Access Denied"),
        ),
        (
            _UP + _REFUSED.format("Odd", "PutObject", "hidden"),
            *("bad_request", "the server answered Odd to PutObject: ***"),
        ),
        (
            _UP
            + "An error occurred (Odd) when calling the PutObject operation "
            + "(reached max retries: 2): Busy",
            *("server_error", "the server answered Odd to PutObject: Busy"),
        ),
        (
            "fatal error: " + _REFUSED.format(404, "HeadObject", 'Key "k" does not exist'),
            *("not_found", 'the server answered 404 to HeadObject: Key "k" does not exist'),
        ),
        (
            "fatal error: " + _REFUSED.format(403, "HeadObject", "Forbidden"),
            *("no_permission", "the server answered 403 to HeadObject: Forbidden"),
        ),
        (
            "download failed: s3://b/k to k " + _REFUSED.format(403, "GetObject", "Forbidden"),
            *("bad_endpoint", "the server answered 403 to GetObject: Forbidden"),
        ),
        (
            _UP + 'Could not connect to the endpoint URL: "http://127.0.0.1:9/b/k?uploads"',
            *("unreachable", "http://127.0.0.1:9 can't be reached"),
        ),
        (
            _UP + 'Failed to connect to proxy URL: "http://127.0.0.1:9"',
            *("bad_proxy", "the proxy can't be reached, or does not let it through"),
        ),
        (
            "fatal error: SSL validation failed for https://127.0.0.1:9/b/k [SSL: "
            "CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate "
            "(_ssl.c:1006)",
            *("bad_certificate", "the certificate is not accepted: self-signed certificate"),
        ),
        (
            _UP + "SSL validation failed for https://127.0.0.1:9/b/k [SSL: WRONG_VERSION_NUMBER] "
            "wrong version number (_ssl.c:1006)",
            *("bad_endpoint", "the port speaks no TLS, so not HTTPS"),
        ),
        (
            _UP + "SSL validation failed for https://127.0.0.1:9/b/k EOF occurred",
            *("tls", "TLS failed: EOF occurred"),
        ),
        (
            _UP + "Connection was closed before we received a valid response from endpoint URL: "
            '"http://127.0.0.1:9/b".',
            *("connection_lost", "the connection was lost"),
        ),
        ("download failed: s3://b/k to k Max Retries Exceeded", "connection_lost", "the conn"),
        (_UP + 'Read timeout on endpoint URL: "http://127.0.0.1:9/b"', "timeout", "no answer came"),
        ("fatal error: 'LastModified'", "bad_answer", "the answer lacks LastModified"),
        (
            "download failed: s3://b/k to k [Errno 28] No space left on device",
            *("disk_full", "No space left on device"),
        ),
        (
            "Traceback (most recent call last):\n  File x\nKeyError: 1\n" + _UP + "Odd\nlast",
            *("tool_failed", _UP + "Odd"),
        ),
        ("usage: aws\nUnknown options: --x", "tool_failed", "Unknown options: --x"),
        ("\n", "tool_failed", "it said nothing"),
    ],
)
def test_a_complaint_has_a_code(tmp_path: Path, said: str, code: str, text: str) -> None:
    why = AWS.explain(_ran(tmp_path, _UPLOAD, "", said))
    assert (why.code, "hidden" in why.text) == (code, False)
    assert why.text.startswith(f"aws exit code 1: {text}")


# --- the program itself --------------------------------------------------------------------------

_SPEC = """\
api: hps/v1
name: aws
{targets}
data: {{size: 12MiB, files: {files}}}
matrix: {{tool: [aws], chunk_size: [{chunk}], concurrency: [2], transfers: [{transfers}]}}
timeout: 100s
steps: [upload, download, verify, delete]
"""


def _run(
    folder: Path,
    targets: str,
    keys: Mapping[str, str],
    *,
    files: int = 1,
    chunk: str = "5MiB",
    transfers: int = 1,
) -> dict[str, Record]:
    spec = folder / "aws.yaml"
    spec.write_text(_SPEC.format(targets=targets, files=files, chunk=chunk, transfers=transfers))
    options = ("--no-check", "--output", folder / "out", "--format", "json")
    return {one["step"]: one for one in hps("run", spec, *options, env=keys).results()}


@pytest.mark.parametrize("transfers", [1, 3])
def test_several_files_of_one_chunk_are_moved(
    transfers: int, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, min_data_s=0.3, gather=transfers)
    targets = targets_yaml(proxy.endpoint, s3_server)
    results = _run(
        tmp_path, targets, keys_of(s3_server), files=4, chunk="12MiB", transfers=transfers
    )
    assert {step: one["status"] for step, one in results.items()} == dict.fromkeys(results, "ok")
    seen = [request for request in proxy.requests() if "/data/" in request.key]
    ways: tuple[Literal["up", "down"], ...] = ("up", "down")
    for way in ways:
        moved = data_requests(seen, way)
        # On a busy machine a request may be sent again.
        assert (len({request.key for request in moved}), peak_in_flight(moved)) == (4, transfers)
    assert results["upload"]["tool_version"] == "1.46.3"
    assert "AWS_CONFIG_FILE" in results["upload"]["command"]
    assert list(tmp_path.rglob("AWS_CONFIG_FILE")) == []


@pytest.mark.parametrize("transfers", [1, 2])
def test_several_files_of_several_chunks_are_not(
    transfers: int, s3_server: S3Server, tmp_path: Path
) -> None:
    targets = targets_yaml(s3_server.endpoint, s3_server)
    results = _run(tmp_path, targets, keys_of(s3_server), files=4, transfers=transfers)
    upload = results["upload"]
    assert (upload["status"], upload["reason_code"]) == ("skipped", "unsupported")


def test_what_a_server_does_not_grant(s3_server: S3Server, tmp_path: Path) -> None:
    right, wrong = keys_of(s3_server), {"TEST_SECRET": "no-secret-of-this-server-at-all-12345678"}
    targets = targets_yaml(s3_server.endpoint, s3_server)
    no_bucket = targets.replace(f"bucket: {s3_server.bucket}", "bucket: nowhere", 1)
    ways = {"bad_credentials": (targets, right | wrong), "no_such_bucket": (no_bucket, right)}
    for number, (code, (text, keys)) in enumerate(ways.items()):
        (folder := tmp_path / str(number)).mkdir()
        upload = _run(folder, text, keys)["upload"]
        assert (upload["status"], upload["reason_code"]) == ("failed", code), upload["reason"]
        assert upload["reason"].startswith("aws exit code 1: the server answered ")


def test_a_server_that_is_always_busy(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    rules = (slow_down(None, match=lambda head: head.method == "PUT" and "/data/" in head.key),)
    proxy = proxy_for(s3_server, rules=rules)
    upload = _run(tmp_path, targets_yaml(proxy.endpoint, s3_server), keys_of(s3_server))["upload"]
    assert upload["reason_code"] == "throttled"
    assert "SlowDown to UploadPart: Please reduce your request rate." in upload["reason"]


def test_what_is_no_s3_server(s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path) -> None:
    page = Respond(status=200, body=b"<html>Welcome</html>")
    proxy = proxy_for(s3_server, rules=(Rule(match=lambda head: True, action=page, times=None),))
    upload = _run(tmp_path, targets_yaml(proxy.endpoint, s3_server), keys_of(s3_server))["upload"]
    assert (upload["reason_code"], upload["status"]) == ("bad_answer", "failed")


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    with serve_s3(tmp_path / "served", tls=True) as server:
        targets = targets_yaml(server.endpoint, server)
        upload = _run(tmp_path, targets, keys_of(server))["upload"]
    assert (upload["status"], upload["reason_code"]) == ("failed", "bad_certificate")
