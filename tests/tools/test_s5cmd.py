"""s5cmd: which program is taken, what it is called with, and what its complaints come to."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.model import Operation, SecretRef, Transfer
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Evidence, Installed, Job, Missing, Movement, Ran
from tests.builders import MIB, S3, make_operation, make_transfer

S5CMD = TOOLS["s5cmd"]
_FOLDER = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")


def _script(path: Path, said: str, *, start: str = "#!/bin/sh\n") -> str:
    path.write_text(f"{start}echo '{said}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_program_inside_the_package_is_taken() -> None:
    found = S5CMD.find({})
    assert isinstance(found, Installed)
    assert found.program.endswith("/s5cmd/bin/s5cmd")
    assert found.version == "2.3.0"


def test_a_script_that_starts_another_program_is_none(tmp_path: Path) -> None:
    found = S5CMD.find({"HPS_S5CMD": _script(tmp_path / "s5cmd", "v2.3.0")})
    assert isinstance(found, Missing)
    assert "is a script that starts another program" in found.why
    assert "HPS_S5CMD" in found.how_to_get


@pytest.mark.parametrize("named", ["/nowhere/s5cmd", "/"])
def test_what_is_no_program_is_said(named: str) -> None:
    assert S5CMD.find({"HPS_S5CMD": named}) == Missing(
        why=f"'{named}' is no program", how_to_get=_how()
    )


def test_another_program_is_not_taken_for_it() -> None:
    found = S5CMD.find({"HPS_S5CMD": "/bin/true"})
    assert found == Missing(why="/bin/true does not answer like s5cmd", how_to_get=_how())


def _how() -> str:
    found = S5CMD.find({"HPS_S5CMD": "/"})
    assert isinstance(found, Missing)
    return found.how_to_get


def _job(movement: Movement, name: str | None, **changes: object) -> Job:
    transfer: Transfer = make_transfer(**changes)
    return Job(
        movement=movement,
        target=replace(S3, endpoint="https://s3.test", ca_cert="/etc/ca.pem"),
        folder=_FOLDER,
        local="/tmp/a b",
        name=name,
        settings=transfer,
        size_bytes=40 * MIB,
        files=1,
    )


@pytest.mark.parametrize(
    ("job", "ways"),
    [
        (_job("upload", "0.bin"), "'/tmp/a b/0.bin' s3://{there}/0.bin"),
        (_job("download", "0.bin"), "s3://{there}/0.bin '/tmp/a b/0.bin'"),
        (_job("upload", None), "'/tmp/a b/' s3://{there}/"),
        (_job("download", None), "'s3://{there}/*' '/tmp/a b/'"),
    ],
)
def test_a_single_file_is_named_and_a_folder_has_a_slash(job: Job, ways: str) -> None:
    there = f"{S3.bucket}/{S3.folder}/{_FOLDER.key}"
    shown = S5CMD.call(job).shown()
    assert shown.endswith(ways.format(there=there))
    assert ("--raw" in shown) == (job.name is not None)


def test_knobs_stand_in_the_command_and_secrets_do_not() -> None:
    call = S5CMD.call(_job("upload", "0.bin", chunk_size_bytes=7 * MIB, concurrency=3, transfers=2))
    assert {"--part-size=7", "--concurrency=3", "--numworkers=2"} <= set(call.args)
    assert 'AWS_SECRET_ACCESS_KEY="$TEST_SECRET"' in call.shown()
    assert "GODEBUG=http2client=0" in call.shown()
    assert "AWS_CA_BUNDLE=/etc/ca.pem" in call.shown()
    assert "GODEBUG" not in S5CMD.call(_job("upload", "0.bin", http2=True)).shown()


def test_what_is_not_told_stands_in_no_command() -> None:
    nothing = dict.fromkeys(("chunk_size_bytes", "concurrency", "transfers", "http2"))
    shown = S5CMD.call(_job("upload", "0.bin", **nothing)).shown()
    assert not any(word in shown for word in ("part-size", "concurrency", "numworkers", "GODEBUG"))


def test_a_session_token_is_in_no_trace() -> None:
    """The trace has the head of each request as it is: without it, connections are the evidence."""
    job = _job("upload", "0.bin")
    call = S5CMD.call(replace(job, target=replace(S3, session_token=SecretRef(env="TEST_TOKEN"))))
    assert "--log=trace" in S5CMD.call(job).args
    assert "--log=trace" not in call.args
    assert 'AWS_SESSION_TOKEN="$TEST_TOKEN"' in call.shown()


def test_without_a_trace_only_files_and_connections_are_known(tmp_path: Path) -> None:
    operation = make_operation(size=10 * MIB, tool="s5cmd", chunk_size=5 * MIB)
    done = json.dumps({"operation": "cp", "success": True, "object": {"size": 10 * MIB}})
    evidence = S5CMD.read(_ran(tmp_path, operation, [done]))
    assert evidence.wrong is None
    assert (evidence.proof, evidence.retries) == ("sockets", None)
    assert (evidence.observed.chunks, evidence.observed.bytes) == (None, 10 * MIB)


def _ran(folder: Path, operation: Operation, out: list[str], err: str = "", code: int = 0) -> Ran:
    (folder / "out").write_text("".join(f"{line}\n" for line in out))
    (folder / "log").write_text(err)
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


def _request(call: str, line: str, *heads: str) -> str:
    text = "\r\n".join((f"{line} HTTP/1.1", *heads))
    return json.dumps({"message": f"DEBUG: Request s3/{call} Details:\n--\n{text}\r\n\r\n"})


def _answer(call: str, status: int) -> str:
    text = f"DEBUG: Response s3/{call} Details:\n--\nHTTP/1.1 {status} Some\r\n\r\n"
    return json.dumps({"message": text})


def _part(number: int, size: int) -> str:
    line = f"PUT /b/k/0.bin?partNumber={number}&uploadId=u"
    return _request("UploadPart", line, f"Content-Length: {size}")


def _done(size: int) -> str:
    return json.dumps({"operation": "cp", "success": True, "object": {"size": size}})


_OK = _answer("UploadPart", 200)


def _uploaded(folder: Path, out: list[str]) -> Evidence:
    operation = make_operation(
        "upload", tool="s5cmd", size=12 * MIB, chunk_size=5 * MIB, concurrency=2
    )
    return S5CMD.read(_ran(folder, operation, out))


def test_parts_and_streams_are_read_from_the_trace(tmp_path: Path) -> None:
    first, second, last = _part(1, 5 * MIB), _part(2, 5 * MIB), _part(3, 2 * MIB)
    seen = _uploaded(tmp_path, [first, second, _OK, last, _OK, _OK, _done(12 * MIB)])
    assert seen.wrong is None
    assert seen.effective is not None
    assert (seen.effective.chunk_size_bytes, seen.effective.concurrency) == (5 * MIB, 2)
    assert (seen.observed.chunks, seen.observed.peak_in_flight) == (3, 2)
    assert (seen.observed.bytes, seen.retries) == (12 * MIB, 0)


@pytest.mark.parametrize(
    ("out", "wrong"),
    [
        ([], "s5cmd's log shows no transfer"),
        ([_part(1, 12 * MIB), _OK, _done(12 * MIB)], "1 chunks, not 3"),
        (
            [*(_part(n, 4 * MIB) for n in (1, 2, 3)), _done(12 * MIB)],
            f"chunks of {4 * MIB} bytes, not of {5 * MIB}; 3 chunks at once, not 2",
        ),
        (
            [_part(1, 5 * MIB), _OK, _part(2, 5 * MIB), _OK, _part(3, 2 * MIB), _OK],
            "s5cmd copied 0 of 1 files",
        ),
        (
            [
                *(_part(1, 5 * MIB), _OK, _part(2, 5 * MIB), _OK, _part(3, 2 * MIB), _OK),
                _done(11 * MIB),
            ],
            f"s5cmd moved {11 * MIB} of {12 * MIB} bytes",
        ),
    ],
)
def test_what_is_not_as_declared_is_invalid(tmp_path: Path, out: list[str], wrong: str) -> None:
    seen = _uploaded(tmp_path, out)
    assert seen.wrong is not None
    assert (seen.wrong.code, seen.wrong.text) == ("not_as_declared", wrong)


def test_a_part_that_was_sent_again_is_a_retry(tmp_path: Path) -> None:
    trouble = json.dumps(
        {"error": "retryable error: SlowDown: hidden status code: 503, request id: "}
    )
    parts = [_part(1, 5 * MIB), _answer("UploadPart", 503), trouble, _part(1, 5 * MIB), _OK]
    parts += [_part(2, 5 * MIB), _OK, _part(3, 2 * MIB), _OK, _done(12 * MIB)]
    seen = _uploaded(tmp_path, parts)
    assert (seen.retries, seen.wrong) == (1, None)
    assert seen.repeated == "; 1 request was repeated, since the server answered 503 SlowDown: ***"


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            "NoSuchKey:  status code: 404, request id: 9A, host id: x",
            *("not_found", "the server answered 404 NoSuchKey to GetObject [request 9A]"),
        ),
        (
            "AccessDenied: hidden Denied status code: 403, request id: 9A, host id: x",
            *("no_permission", "the server answered 403 AccessDenied to GetObject: *** Denied"),
        ),
        (
            'RequestError: send request failed caused by: Get "http://127.0.0.1:9/b": dial tcp '
            "127.0.0.1:9: connect: connection refused",
            *("refused", "127.0.0.1:9 refuses connections"),
        ),
        (
            "write /tmp/x: no space left on device",
            *("disk_full", "write /tmp/x: no space left on device"),
        ),
        ("something new", "tool_failed", "something new"),
        ("", "tool_failed", "it said nothing"),
    ],
)
def test_a_complaint_has_a_code(tmp_path: Path, said: str, code: str, text: str) -> None:
    err = json.dumps({"operation": "cp", "error": said}) + "\n" if said else ""
    refused = [_request("GetObject", "GET /b/k/0.bin"), _answer("GetObject", 404)]
    operation = make_operation("download", tool="s5cmd")
    why = S5CMD.explain(_ran(tmp_path, operation, refused, err, code=1))
    assert why.code == code
    assert why.text.startswith(f"s5cmd exit code 1: {text}")
    assert "hidden" not in why.text


def test_nothing_is_left_to_files_or_to_services_that_know_keys() -> None:
    env = S5CMD.call(_job("upload", "0.bin")).access.env
    assert (env["AWS_CONFIG_FILE"], env["AWS_SHARED_CREDENTIALS_FILE"]) == (os.devnull, os.devnull)
    assert env["AWS_EC2_METADATA_DISABLED"] == "true"
