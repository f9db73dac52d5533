"""gsutil: which program is taken, how it is called, and what its output comes to."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from hps.model import Operation, SecretRef, Settings, Target
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Installed, Job, Missing, Movement, Ran
from tests.builders import MIB, make_operation, make_running

GSUTIL = TOOLS["gsutil"]
_FOLDER = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")
_TOLD_NOTHING = Settings(
    chunk_size_bytes=None, concurrency=None, transfers=None, http2=None, checksum=None
)
GOOGLE = Target(
    name="g",
    provider="gcs",
    bucket="bucket",
    folder="tests",
    access_key_id=SecretRef(env="TEST_KEY_ID"),
    secret_access_key=SecretRef(env="TEST_SECRET"),
)
AMAZON = replace(GOOGLE, provider="aws", region="eu-west-1", session_token=SecretRef(env="TOKEN"))
_PLACE = f"bucket/tests/{_FOLDER.key}"


# --- the program ---------------------------------------------------------------------------------


def _program(path: Path, said: str, start: str = f"#!{sys.executable}\n") -> str:
    path.write_text(f"{start}print('''{said}''')\n")
    path.chmod(0o755)
    return str(path)


def _why_missing(named: str) -> str:
    found = GSUTIL.find({"HPS_GSUTIL": named})
    assert isinstance(found, Missing)
    assert "pipx install gsutil==5.38" in found.how_to_get
    assert "HPS_GSUTIL" in found.how_to_get
    return found.why


def test_one_may_be_named(tmp_path: Path) -> None:
    named = _program(tmp_path / "gsutil", "gsutil version: 5.39")
    assert GSUTIL.find({"HPS_GSUTIL": named}) == Installed(program=named, version="5.39")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("gsutil version: 4.68", "{} is gsutil 4.68, which is too old"),
        ("something else", "{} does not answer like gsutil"),
    ],
)
def test_what_is_not_as_needed_is_said(tmp_path: Path, said: str, why: str) -> None:
    named = _program(tmp_path / "gsutil", said)
    assert _why_missing(named) == why.format(named)


def test_the_script_that_comes_with_gcloud_is_none(tmp_path: Path) -> None:
    named = _program(tmp_path / "gsutil", "gsutil version: 5.38", "#!/bin/sh\n")
    assert "is a shell script that starts another program" in _why_missing(named)


# --- the call ------------------------------------------------------------------------------------


def _job(
    movement: Movement = "upload",
    name: str | None = "0.bin",
    *,
    target: Target = GOOGLE,
    files: int = 1,
    **told: object,
) -> Job:
    return Job(
        movement=movement,
        target=target,
        folder=_FOLDER,
        local="/here",
        name=name,
        settings=replace(_TOLD_NOTHING, **told),  # type: ignore[arg-type]
        size_bytes=20 * MIB,
        files=files,
    )


@pytest.mark.parametrize(
    ("job", "ways"),
    [
        (_job(), ("/here/0.bin", f"gs://{_PLACE}/")),
        (_job(name="3/07.bin"), ("/here/3/07.bin", f"gs://{_PLACE}/3/")),
        (_job("download"), (f"gs://{_PLACE}/0.bin", "/here/0.bin")),
        (_job(name=None, files=3), ("/here/*", f"gs://{_PLACE}/")),
        (_job("download", None, files=3), (f"gs://{_PLACE}/*", "/here/")),
        (_job(target=AMAZON), ("/here/0.bin", f"s3://{_PLACE}/")),
    ],
)
def test_a_destination_with_a_slash_is_not_looked_up(job: Job, ways: tuple[str, str]) -> None:
    args = GSUTIL.call(job).args
    assert args[-2:] == ways
    assert ("-r" in args) == (job.name is None)


def _options(job: Job) -> list[str]:
    args = GSUTIL.call(job).args
    return [value for flag, value in pairwise(args) if flag == "-o"]


def test_what_it_is_not_told_is_its_own() -> None:
    told = " ".join(_options(_job(name=None, files=4)))
    for name in ("parallel_", "check_hashes", "resumable_threshold", "sliced_object", "is_secure"):
        assert name not in told
    assert "-m" not in GSUTIL.call(_job(name=None, files=4)).args


@pytest.mark.parametrize(("transfers", "at_once"), [(1, False), (3, True)])
def test_several_files_have_a_thread_each(*, transfers: int, at_once: bool) -> None:
    job = _job(name=None, files=4, transfers=transfers)
    assert ("-m" in GSUTIL.call(job).args) == at_once
    assert f"GSUtil:parallel_thread_count={transfers}" in _options(job)
    assert "GSUtil:parallel_process_count=1" in _options(job)


@pytest.mark.parametrize(("checksum", "told"), [(True, "always"), (False, "never")])
def test_whether_it_compares_is_told(*, checksum: bool, told: str) -> None:
    assert f"GSUtil:check_hashes={told}" in _options(_job(checksum=checksum))


def test_nothing_is_left_to_a_machine_and_secrets_are_not_shown() -> None:
    call = GSUTIL.call(_job(target=replace(GOOGLE, ca_cert="/etc/ca.pem")))
    assert call.folders == ("HOME",), "its state is kept below its home"
    assert call.access.env == {"BOTO_CONFIG": os.devnull}
    assert set(call.access.secret_env) == {"GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY"}
    assert {
        "GSUtil:prefer_api=xml",
        "GSUtil:software_update_check_period=0",
        "Boto:num_retries=2",
        "Boto:http_socket_timeout=60",
        "Boto:ca_certificates_file=/etc/ca.pem",
    } <= set(call.args)
    assert 'GS_SECRET_ACCESS_KEY="$TEST_SECRET"' in call.shown()


def test_for_amazon_the_host_names_the_region_that_is_signed_for() -> None:
    call = GSUTIL.call(_job(target=AMAZON))
    assert {"Credentials:s3_host=s3.eu-west-1.amazonaws.com", "s3:use-sigv4=True"} <= set(call.args)
    assert set(call.access.secret_env) == {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN")
    }


def test_plain_http_is_told() -> None:
    target = replace(GOOGLE, endpoint="http://storage.googleapis.com")
    assert "Boto:is_secure=False" in _options(_job(target=target))


def test_a_printed_command_leaves_its_own_names_to_the_shell_and_no_star() -> None:
    job = replace(_job("download", None, files=2), local="$WORK/down", folder=_FOLDER)
    upload = replace(job, movement="upload")
    assert GSUTIL.call(upload).shown().endswith(f'"$WORK/down/*" gs://{_PLACE}/')
    assert GSUTIL.call(job).shown().endswith(f"'gs://{_PLACE}/*' \"$WORK/down/\"")


# --- what it did ---------------------------------------------------------------------------------

_DONE = (
    "Copying file:///p/0.bin [Content-Type=application/octet-stream]...\n"
    "/ [0 files][    0.0 B/ 12.0 MiB]    \r/ [1 files][ 12.0 MiB/ 12.0 MiB]    \r\n"
    "Operation completed over {} objects/12.0 MiB.    \n"
)
_UPLOAD = replace(
    make_operation("upload", tool="gsutil", size=12 * MIB, settings="default"), why_not=""
)


def _ran(folder: Path, said: str, *, operation: Operation = _UPLOAD, code: int = 0) -> Ran:
    (folder / "out").write_text("")
    (folder / "log").write_text(said)
    ended = Exit(
        returncode=code,
        ended="exit",
        started_at=datetime(2026, 11, 22, tzinfo=UTC),
        duration_s=2.0,
    )
    return Ran(
        operation=operation,
        ended=ended,
        out=folder / "out",
        log=folder / "log",
        counter=ConnectionCounter(samples=9, most_with_payload=1),
        offers_http2=False,
        clean=lambda text: text.replace("hidden", "***"),
    )


def test_what_it_moved_is_counted_in_files(tmp_path: Path) -> None:
    seen = GSUTIL.read(_ran(tmp_path, _DONE.format(1)))
    assert (seen.wrong, seen.proof, seen.retries) == (None, "sockets", None)
    assert (seen.observed.bytes, seen.observed.connections) == (12 * MIB, 1)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("Copying file:///p/0.bin\n", "gsutil's log shows no transfer"),
        (_DONE.format(2), "gsutil copied 2 of 1 files"),
    ],
)
def test_other_than_the_files_that_were_meant_is_invalid(
    tmp_path: Path, said: str, wrong: str
) -> None:
    seen = GSUTIL.read(_ran(tmp_path, said))
    assert seen.wrong is not None
    assert (seen.wrong.code, seen.wrong.text) == ("not_as_declared", wrong)


def test_where_a_file_is_while_it_comes(tmp_path: Path) -> None:
    arrivals = GSUTIL.arrivals(make_running(tmp_path, name=None))
    (partial := tmp_path / "0.bin_.gstmp").touch()
    assert list(arrivals.places(tmp_path / "0.bin")) == [partial, tmp_path / "0.bin"]
    assert arrivals.grows


# --- what went wrong -----------------------------------------------------------------------------

_XML = (
    "\n<?xml version='1.0'?>\n<Error><Code>{}</Code><Message>{}</Message>"
    "<RequestId>A1</RequestId></Error>"
)
_GIVEN_UP = "ResumableUploadException: Too many resumable upload attempts failed without progress."
_DOWN_GIVEN_UP = _GIVEN_UP.replace("Upload", "Download").replace("upload", "download")


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            "AccessDeniedException: 403 AccessDenied" + _XML.format("AccessDenied", "It is hidden"),
            *("no_permission", "the server answered 403 AccessDenied to PutObject: It is ***"),
        ),
        (
            "AccessDeniedException: 403 SignatureDoesNotMatch"
            + _XML.format("SignatureDoesNotMatch", "a &amp; b"),
            *("bad_credentials", "the server answered 403 SignatureDoesNotMatch to PutObject: a &"),
        ),
        (
            "ServiceException: 503 Please wait." + _XML.format("SlowDown", "Please wait."),
            *("throttled", "the server answered 503 SlowDown to PutObject: Please wait."),
        ),
        (
            "AccessDeniedException: 403 None",
            *("no_permission", "the server answered 403 to HeadObject"),
        ),
        (
            "NotFoundException: 404 The destination bucket gs://b does not exist or the write to",
            *("no_such_bucket", "NotFoundException: 404 The destination bucket gs://b does not"),
        ),
        (
            "BucketNotFoundException: 404 gs://b bucket does not exist.",
            *("no_such_bucket", "BucketNotFoundException: 404 gs://b bucket does not exist."),
        ),
        (
            'NotFoundException: 404 Attempt to get key for "gs://b/timed out" failed. This can\nif',
            *("not_found", "the server says that the object is not there"),
        ),
        (
            "CommandException: No URLs matched: gs://b/k/*",
            *("not_found", "the server says that the object is not there"),
        ),
        (
            "ResumableUploadAbortException: Got status 403 from attempt to start resumable upload.",
            *("no_permission", "the server answered 403 to the start of the upload"),
        ),
        (
            "ResumableUploadAbortException: Got status 404 from attempt to start resumable upload.",
            *("no_such_bucket", "the server answered 404 to the start of the upload"),
        ),
        (
            "OSError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
            "certificate (_ssl.c:1006).",
            *("bad_certificate", "the certificate is not accepted: self-signed certificate"),
        ),
        ("OSError: Connection refused.", "refused", "the endpoint refuses connections"),
        ("OSError: Name or service not known.", "name_unknown", "the name could not be looked up"),
        ("OSError: EOF occurred in violation of protocol (_ssl.c:2)", "connection_lost", "the con"),
        ("OSError: None.", "timeout", "no answer came"),
        ("OSError: No space left on device.", "disk_full", "No space left on device"),
        (
            "gslib.exception.HashMismatchException: md5 signature computed for local file (b'a') "
            "doesn't match cloud-supplied digest (b'b').",
            *("corrupted", "the MD5 of the file is not that of the object"),
        ),
        (
            "boto.exception.S3DataError: BotoClientError: ETag from S3 did not match computed MD5. "
            "None vs. b'830595'",
            *("bad_answer", "the answer does not name the MD5"),
        ),
        ("Traceback\n  File x\nAssertionError", "bad_answer", "the answer has not what gsutil"),
        (_GIVEN_UP, "unreachable", "each attempt failed, and it does not say why"),
        (
            f"INFO x] Caught exception (ConnectionRefusedError(111, 'Connection refused'))\n"
            f"{_DOWN_GIVEN_UP}",
            *("refused", "the endpoint refuses connections"),
        ),
        (
            "ServiceException: 500 Odd\nCommandException: 1 file/object could not be transferred.",
            *("server_error", "the server answered 500 to PutObject"),
        ),
        ("CommandException: Wrong number of arguments", "tool_failed", "CommandException: Wrong"),
        ("\r\n", "tool_failed", "it said nothing"),
    ],
)
def test_a_complaint_has_a_code(tmp_path: Path, said: str, code: str, text: str) -> None:
    begun = "Copying file:///p/timed out/0.bin...\n/ [0 files][ 0.0 B/ 1.0 MiB]   \r"
    why = GSUTIL.explain(_ran(tmp_path, f"{begun if said.strip() else ''}{said}\n", code=1))
    assert (why.code, "hidden" in why.reason) == (code, False), why.reason
    assert why.text.startswith(f"gsutil exit code 1: {text}")
