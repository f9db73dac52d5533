"""s3parcp: which program is taken, what it is called with, and what its words come to."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from hps.catalog.failures import missing_right
from hps.model import Operation, Transfer
from hps.process import process
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS, go
from hps.tools.base import Evidence, Installed, Job, Missing, Movement, Ran
from tests.builders import MIB, S3, make_operation, make_running, make_transfer
from tests.command import keys_of
from tests.conftest import ProxyFor
from tests.servers.faults import slow_down
from tests.servers.for_tool import needs
from tests.servers.s3_server import S3Server

S3PARCP = TOOLS["s3parcp"]
_FOLDER = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")
# A test that runs the program itself is skipped where there is none, and says so.
real = needs("s3parcp")


# --- the program ---------------------------------------------------------------------------------


def _program(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


def _built(version: str) -> bytes:
    """What Go writes into a program; it can't be started."""
    module = "mod\tgithub.com/chanzuckerberg/s3parcp"
    return f"\0\npath\tx\n{module}\t{version}\th1:x=\nbuild\tx\n".encode()


def _found(program: str) -> Installed | Missing:
    return S3PARCP.find({"HPS_S3PARCP": program})


def test_what_go_install_built_answers_no_version_and_has_it_inside(tmp_path: Path) -> None:
    program = _program(tmp_path / "s3parcp", _built("v1.0.1"))
    assert _found(program) == Installed(program=program, version="1.0.1")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (_built("v1.0.0"), "is s3parcp 1.0.0, which is too old"),
        (_built("(devel)"), "does not say which version of s3parcp it is"),
        (b"\0another program", "is no s3parcp"),
        (b"", "is no s3parcp"),
        (b"#!/bin/sh\n", "is a script that starts another program"),
    ],
)
def test_what_is_no_s3parcp_that_can_be_measured(tmp_path: Path, content: bytes, why: str) -> None:
    found = _found(_program(tmp_path / "s3parcp", content))
    assert isinstance(found, Missing)
    assert why in found.why
    assert "HPS_S3PARCP" in found.how_to_get


def test_what_is_no_program_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("/nowhere/s3parcp", "/"):
        found = _found(named)
        assert isinstance(found, Missing)
        assert found.why == f"'{named}' is no program"
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(S3PARCP.find({}), Missing)


@real
def test_the_program_itself_is_found() -> None:
    found = S3PARCP.find(os.environ)
    assert isinstance(found, Installed)
    assert go.module_version(found.program, "github.com/chanzuckerberg/s3parcp") is not None
    assert go.module_version(found.program, "github.com/chanzuckerberg/s3") is None


# --- the call ------------------------------------------------------------------------------------


def _job(movement: Movement, name: str | None, *, files: int = 1, **changes: object) -> Job:
    transfer: Transfer = make_transfer(**changes)
    return Job(
        movement=movement,
        target=replace(S3, endpoint="https://s3.test", ca_cert="/etc/ca.pem"),
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
        (_job("upload", "0.bin"), "'/tmp/a b/0.bin' s3://{there}/0.bin"),
        (_job("download", "0.bin"), "s3://{there}/0.bin '/tmp/a b/0.bin'"),
        (_job("upload", None), "'/tmp/a b/' s3://{there}/"),
        (_job("download", None), "s3://{there}/ '/tmp/a b/'"),
    ],
)
def test_a_single_file_is_named_and_a_folder_has_a_slash(job: Job, ways: str) -> None:
    there = f"{S3.bucket}/{S3.folder}/{_FOLDER.key}"
    call = S3PARCP.call(job)
    assert call.shown().endswith(ways.format(there=there))
    assert ("--recursive" in call.args) == (job.name is None)


def test_its_address_is_read_as_one() -> None:
    """A `?` would begin a query, and a `%41` be an A."""
    job = _job("upload", "0.bin")
    job = replace(job, target=replace(job.target, folder="a b/?v=%41#ü"))
    assert f"s3://bucket/a%20b/%3Fv=%2541%23%C3%BC/{_FOLDER.key}/0.bin" in S3PARCP.call(job).args


def test_knobs_stand_in_the_command_and_secrets_do_not() -> None:
    call = S3PARCP.call(_job("upload", "0.bin", chunk_size_bytes=7 * MIB, concurrency=3))
    assert {f"--part-size={7 * MIB}", "--concurrency=3", "--checksum"} <= set(call.args)
    assert 'AWS_SECRET_ACCESS_KEY="$TEST_SECRET"' in call.shown()
    assert "GODEBUG=http2client=0" in call.shown()
    assert "S3PARCP_S3_URL=https://s3.test" in call.shown()
    assert "AWS_ENDPOINT_URL" not in call.shown()
    assert "GODEBUG" not in S3PARCP.call(_job("upload", "0.bin", http2=True)).shown()
    assert "--checksum" not in S3PARCP.call(_job("upload", "0.bin", checksum=False)).args


def test_downloads_alone_are_logged_since_it_copies_what_it_uploads_to_do_so() -> None:
    assert "--verbose" in S3PARCP.call(_job("download", "0.bin")).args
    assert "--verbose" not in S3PARCP.call(_job("upload", "0.bin")).args


def test_a_part_that_it_would_refuse_is_not_told_where_the_file_travels_whole() -> None:
    """Of a file in parts so small the cell is skipped; downloads may have ranges of any size."""
    small = {"chunk_size_bytes": MIB}
    assert f"--part-size={5 * MIB}" in S3PARCP.call(_job("upload", "0.bin", **small)).args
    assert f"--part-size={MIB}" in S3PARCP.call(_job("download", "0.bin", **small)).args


@pytest.mark.parametrize(
    ("files", "transfers", "concurrency", "chunk_mib", "number"),
    [(3, 2, 2, 10, 2), (3, 8, 3, 10, 3), (9, 4, 10, 40, 4), (3, 2, 9, 20, 2)],
)
def test_of_a_folder_one_number_is_both(
    files: int, transfers: int, concurrency: int, chunk_mib: int, number: int
) -> None:
    knobs = {"transfers": transfers, "concurrency": concurrency}
    job = _job("upload", None, files=files, chunk_size_bytes=chunk_mib * MIB, **knobs)
    assert f"--concurrency={number}" in S3PARCP.call(job).args


# --- the evidence --------------------------------------------------------------------------------


def _ran(folder: Path, operation: Operation, log: str, code: int = 0) -> Ran:
    (folder / "out").touch()
    (folder / "log").write_bytes(log.encode())
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
        counter=ConnectionCounter(samples=9, most_with_payload=2),
        offers_http2=False,
        clean=lambda said: said.replace("hidden", "***"),
    )


def _get(path: str, *heads: str, attempt: int = 1) -> str:
    """A request as 1.0.1 logs it: its own lines end as others do, those of the head as HTTP's."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1:41395",
        "Accept-Encoding: identity",
        f"Amz-Sdk-Request: attempt={attempt}; max=3",
        *heads,
        "X-Amz-Date: 20261130T033443Z",
    )
    head = "".join(f"{line}\r\n" for line in lines)
    return f"SDK 2026/11/30 03:34:43 DEBUG Request\n{head}\r\n\n"


_LOOK_UPS = (
    _get("/bucket?list-type=2&max-keys=1&prefix=k%2F0.bin%2F")
    + _get("/bucket?list-type=2&prefix=k%2F0.bin")
    + _get("/bucket/k/0.bin?attributes=", "X-Amz-Max-Parts: 1")
)
_RETRYING = "SDK 2026/11/30 03:34:44 DEBUG retrying request S3/GetObject, attempt 2\n"


def _range(number: int, part_mib: int, *, attempt: int = 1, file: int = 0) -> str:
    first = number * part_mib * MIB
    asked = f"Range: bytes={first}-{first + part_mib * MIB - 1}"
    return _get(f"/bucket/k/{file}.bin?x-id=GetObject", asked, attempt=attempt)


def _downloaded(folder: Path, log: str, **knobs: int) -> Evidence:
    cell = {"size": 12 * MIB, "chunk_size": 5 * MIB, "concurrency": 2, **knobs}
    return S3PARCP.read(_ran(folder, make_operation("download", tool="s3parcp", **cell), log))


def test_ranges_are_read_from_the_log_and_the_last_ends_with_the_file(tmp_path: Path) -> None:
    seen = _downloaded(tmp_path, _LOOK_UPS + _range(0, 5) + _range(2, 5) + _range(1, 5))
    assert (seen.wrong, seen.proof) == (None, "log")
    assert seen.effective is not None
    assert (seen.effective.chunk_size_bytes, seen.effective.concurrency) == (5 * MIB, 2)
    assert (seen.observed.chunks, seen.observed.connections) == (3, 2)
    assert (seen.observed.bytes, seen.retries, seen.repeated) == (12 * MIB, 0, "")


def test_the_part_size_of_the_object_in_place_of_the_declared_one_is_invalid(
    tmp_path: Path,
) -> None:
    seen = _downloaded(tmp_path, _LOOK_UPS + _range(0, 6) + _range(1, 6))
    assert seen.wrong is not None
    assert (seen.wrong.code, seen.wrong.text) == ("not_as_declared", "2 chunks, not 3")
    assert seen.effective is not None
    assert seen.effective.chunk_size_bytes == 6 * MIB


@pytest.mark.parametrize(
    ("log", "wrong"),
    [
        ("", "s3parcp's log shows no transfer"),
        (_LOOK_UPS, "s3parcp's log shows no transfer"),
        (
            _LOOK_UPS + _range(0, 5) + _range(1, 5),
            f"s3parcp moved {10 * MIB} of {12 * MIB} bytes; 2 chunks, not 3",
        ),
    ],
)
def test_what_is_not_as_declared_is_invalid(tmp_path: Path, log: str, wrong: str) -> None:
    seen = _downloaded(tmp_path, log)
    assert seen.wrong is not None
    assert seen.wrong.text == wrong


def test_each_file_of_a_folder_is_counted(tmp_path: Path) -> None:
    ranges = [_range(number, 5, file=file) for number in range(3) for file in range(2)]
    seen = _downloaded(tmp_path, "".join(ranges), files=2, transfers=2)
    assert seen.wrong is None
    assert (seen.observed.chunks, seen.observed.bytes) == (6, 24 * MIB)
    lone = _downloaded(tmp_path, "".join(ranges[::2]), files=2, transfers=2)
    assert lone.wrong is not None
    assert lone.wrong.text.startswith("s3parcp copied 1 of 2 files")


@pytest.mark.parametrize("said", [_RETRYING + _range(0, 5, attempt=2), _range(0, 5)])
def test_a_range_that_was_asked_for_again_is_a_retry(tmp_path: Path, said: str) -> None:
    log = _LOOK_UPS + _range(0, 5) + said + _range(1, 5) + _range(2, 5)
    seen = _downloaded(tmp_path, log)
    assert (seen.retries, seen.wrong) == (1, None)
    assert seen.repeated == "; 1 request was repeated"


def test_of_an_upload_it_says_nothing_and_connections_are_the_proof(tmp_path: Path) -> None:
    cell = {"size": 12 * MIB, "chunk_size": 5 * MIB, "concurrency": 2}
    operation = make_operation("upload", tool="s3parcp", **cell)
    seen = S3PARCP.read(_ran(tmp_path, operation, ""))
    assert (seen.wrong, seen.proof, seen.retries) == (None, "sockets", None)
    assert seen.effective is not None
    assert (seen.effective.concurrency, seen.observed.chunks) == (2, None)
    failed = S3PARCP.read(_ran(tmp_path, operation, "", code=1))
    assert failed.effective is None


def test_a_crash_of_go_is_one(tmp_path: Path) -> None:
    log = _LOOK_UPS + "panic: hidden\n\ngoroutine 1 [running]:\n"
    assert _downloaded(tmp_path, log).crash == "panic: ***"


def test_a_file_grows_by_one_stream_and_none_is_named(tmp_path: Path) -> None:
    for streams in (1, 2):
        arrivals = S3PARCP.arrivals(make_running(tmp_path, name="0.bin", streams=streams))
        assert arrivals.grows == (streams == 1)
        assert list(arrivals.new()) == []
    (tmp_path / "0.bin").touch()
    assert set(arrivals.places(tmp_path / "0.bin")) == {tmp_path / "0.bin"}


# --- what went wrong -----------------------------------------------------------------------------

_CALL = "s3parcp: operation error S3: "
_ANSWER = "https response error StatusCode: {}, RequestID: A1B2, HostID: , "


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            f"{_CALL}CreateMultipartUpload, {_ANSWER.format(403)}api error AccessDenied: hidden\n",
            *(
                "no_permission",
                "the server answered 403 AccessDenied to CreateMultipartUpload: ***",
            ),
        ),
        (
            f"{_CALL}GetObject, {_ANSWER.format(404)}NoSuchKey: \n",
            *("not_found", "the server answered 404 NoSuchKey to GetObject [request A1B2]"),
        ),
        (
            "s3parcp: upload multipart failed, upload id: u, cause: operation error S3: "
            f"UploadPart, exceeded maximum number of attempts, 3, {_ANSWER.format(503)}"
            "api error SlowDown: x\n",
            *("throttled", "the server answered 503 SlowDown to UploadPart: x [request A1B2]"),
        ),
        (
            f"{_CALL}HeadObject, exceeded maximum number of attempts, 3, https response error "
            "StatusCode: 0, RequestID: , HostID: , request send failed, Head "
            '"http://127.0.0.1:9/b/k": dial tcp 127.0.0.1:9: connect: connection refused\n',
            *("refused", "HeadObject: 127.0.0.1:9 refuses connections"),
        ),
        (
            "s3parcp: no object found at path s3://bucket/a/nokey.bin\n",
            *("not_found", "the server says that the object is not there"),
        ),
        (
            "s3parcp: write /tmp/x: no space left on device\n",
            *("disk_full", "write /tmp/x: no space left on device"),
        ),
        ("unknown flag `bad'\n", "tool_failed", "unknown flag `bad'"),
        ("", "tool_failed", "it said nothing"),
    ],
)
def test_a_complaint_has_a_code(tmp_path: Path, said: str, code: str, text: str) -> None:
    why = S3PARCP.explain(_ran(tmp_path, make_operation("upload"), said, code=1))
    assert why.code == code
    assert why.text.startswith(f"s3parcp exit code 1: {text}")
    assert "hidden" not in why.text


def test_the_error_is_found_behind_the_log(tmp_path: Path) -> None:
    said = f"{_LOOK_UPS}{_CALL}GetObject, {_ANSWER.format(403)}api error AccessDenied: no\n"
    why = S3PARCP.explain(_ran(tmp_path, make_operation("download"), said, code=1))
    assert why.code == "no_permission"


@pytest.mark.parametrize(
    "answer",
    [
        f"{_ANSWER.format(501)}api error NotImplemented: nope",
        f"{_ANSWER.format(400)}api error InvalidArgument: nope",
        f"{_ANSWER.format(200)}deserialization failed, failed to decode response body, XML syntax "
        "error on line 1: invalid character entity &\0x (no semicolon)",
    ],
)
def test_a_server_that_knows_no_attributes_is_told_from_a_broken_one(
    tmp_path: Path, answer: str
) -> None:
    said = f"{_CALL}GetObjectAttributes, {answer}\n"
    why = S3PARCP.explain(_ran(tmp_path, make_operation("download"), said, code=1))
    assert why.code == "not_implemented"
    assert "asks for GetObjectAttributes before a download" in why.hint


def test_a_key_may_lack_the_right_to_ask_for_attributes(tmp_path: Path) -> None:
    said = f"{_CALL}GetObjectAttributes, {_ANSWER.format(403)}api error AccessDenied: No\n"
    why = S3PARCP.explain(_ran(tmp_path, make_operation("download"), said, code=1))
    assert missing_right(why) == "s3:GetObjectAttributes"


def test_a_region_that_it_can_not_sign_for_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    answer = "api error AuthorizationHeaderMalformed: the region '' is wrong; expecting 'eu-1'"
    said = f"{_CALL}ListObjectsV2, {_ANSWER.format(400)}{answer}\n"
    why = S3PARCP.explain(_ran(tmp_path, make_operation("download"), said, code=1))
    assert (why.code, why.hint) == (
        "wrong_region",
        "s3parcp signs for no region where the target has an endpoint",
    )


# --- the program itself --------------------------------------------------------------------------


def _run(job: Job, server: S3Server, folder: Path, *, code: int = 0) -> Ran:
    """The call of a job, as a run makes it: how it ended, and what it left to be read."""
    found = S3PARCP.find(os.environ)
    assert isinstance(found, Installed)
    cell = {
        "size": job.size_bytes,
        "chunk_size": job.settings.chunk_size_bytes or 0,
        "concurrency": 2,
    }
    kind = "upload" if job.movement == "upload" else "download"
    with process.Guard() as guard:
        ended = process.run(
            S3PARCP.call(job).command(found.program, keys_of(server)),
            timeout_s=60,
            guard_process=guard,
            stdout=folder / "out",
            stderr=folder / "log",
        )
    assert ended.returncode == code, (folder / "log").read_text(errors="replace")[-2000:]
    operation = make_operation(kind, tool="s3parcp", **cell)
    return replace(
        _ran(folder, operation, (folder / "log").read_text(errors="replace")), ended=ended
    )


def _jobs(server: S3Server, folder: Path, endpoint: str = "") -> tuple[Job, Job]:
    """Of one file of 12 MiB, up in parts of 5 MiB and down again."""
    for name in ("up", "down"):
        (folder / name).mkdir()
    (folder / "up/0.bin").write_bytes(os.urandom(12 * MIB))
    own = OwnFolder(
        f"data/unit/20261122T101530123Z-5f3a9c/{sha256(bytes(folder)).hexdigest()[:12]}"
    )
    up = replace(
        _job("upload", "0.bin", chunk_size_bytes=5 * MIB, concurrency=2),
        target=replace(S3, endpoint=endpoint or server.endpoint, bucket=server.bucket),
        folder=own,
        local=str(folder / "up"),
        size_bytes=12 * MIB,
    )
    return up, replace(up, movement="download", local=str(folder / "down"))


@real
def test_what_it_really_logs_is_understood(
    moto_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    busy = slow_down(match=lambda head: head.direction == "down")
    proxy = proxy_for(moto_server, rules=(busy,))
    up, down = _jobs(moto_server, tmp_path, proxy.endpoint)
    assert S3PARCP.read(_run(up, moto_server, tmp_path)).wrong is None
    seen = S3PARCP.read(_run(down, moto_server, tmp_path))
    assert (seen.wrong, seen.observed.chunks, seen.retries) == (None, 3, 1)
    assert (tmp_path / "down/0.bin").read_bytes() == (tmp_path / "up/0.bin").read_bytes()


@real
def test_a_missing_object_is_an_error_and_leaves_no_file(
    moto_server: S3Server, tmp_path: Path
) -> None:
    _up, down = _jobs(moto_server, tmp_path)
    ran = _run(down, moto_server, tmp_path, code=1)
    assert S3PARCP.explain(ran).code == "not_found"
    assert list((tmp_path / "down").iterdir()) == []


@real
def test_the_embedded_server_knows_no_attributes(s3_server: S3Server, tmp_path: Path) -> None:
    up, down = _jobs(s3_server, tmp_path)
    _run(up, s3_server, tmp_path)
    ran = _run(down, s3_server, tmp_path, code=1)
    assert S3PARCP.explain(ran).code == "not_implemented"


@real
def test_what_minio_tells_of_an_objects_parts_is_used_in_place_of_the_declared_size(
    minio_server: S3Server, tmp_path: Path
) -> None:
    up, down = _jobs(minio_server, tmp_path)
    _run(up, minio_server, tmp_path)
    other = replace(down, settings=replace(down.settings, chunk_size_bytes=10 * MIB))
    seen = S3PARCP.read(_run(other, minio_server, tmp_path))
    assert seen.observed.chunk_size_bytes == 5 * MIB
    assert seen.wrong is not None
    assert seen.wrong.code == "not_as_declared"


@real
@pytest.mark.parametrize("word", ["?", "%41", "#", "a b", "ü", "*"])
def test_any_folder_is_reached(word: str, moto_server: S3Server, tmp_path: Path) -> None:
    up, down = _jobs(moto_server, tmp_path)
    target = replace(up.target, folder=f"x{word}y")
    _run(replace(up, target=target, name=None), moto_server, tmp_path)
    _run(replace(down, target=target, name=None), moto_server, tmp_path)
    assert (tmp_path / "down/0.bin").read_bytes() == (tmp_path / "up/0.bin").read_bytes()
