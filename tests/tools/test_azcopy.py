"""azcopy: which program is taken, what it is called with, and what its log and its words say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.model import SecretRef, Target
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Job, Missing, Movement, Ran
from tests.builders import MIB, make_operation, make_transfer

AZCOPY = TOOLS["azcopy"]
_FOLDER = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")
_TARGET = Target(
    name="az",
    provider="azure",
    account="mystorage",
    bucket="data",
    folder="a b",
    tenant_id=SecretRef(env="TENANT"),
    client_id=SecretRef(env="CLIENT"),
    client_secret=SecretRef(env="SECRET"),
)


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("/nowhere/azcopy", "'/nowhere/azcopy' is no program"),
        ("/bin/true", "/bin/true does not answer like azcopy"),
    ],
)
def test_what_is_no_azcopy_is_said(named: str, why: str) -> None:
    found = AZCOPY.find({"HPS_AZCOPY": named})
    assert isinstance(found, Missing)
    assert found.why == why
    assert "HPS_AZCOPY" in found.how_to_get


def test_an_old_one_is_not_taken(tmp_path: Path) -> None:
    program = tmp_path / "azcopy"
    program.write_text("#!/bin/sh\necho azcopy version 10.9.0\n")
    program.chmod(0o755)
    found = AZCOPY.find({"HPS_AZCOPY": str(program)})
    assert isinstance(found, Missing)
    assert found.why == f"{program} is azcopy 10.9.0, which is too old"


def _job(movement: Movement, name: str | None, **changes: object) -> Job:
    return Job(
        movement=movement,
        target=_TARGET,
        folder=_FOLDER,
        local="/tmp/down",
        name=name,
        settings=make_transfer(**changes),
        size_bytes=40 * MIB,
        files=1 if name else 5,
    )


@pytest.mark.parametrize(
    ("job", "ways"),
    [
        (_job("upload", "0.bin"), ("/tmp/down/0.bin", "{there}/0.bin")),
        (_job("download", "0.bin"), ("{there}/0.bin", "/tmp/down/0.bin")),
        (_job("upload", None), ("/tmp/down/*", "{there}")),
        (_job("download", None), ("{there}/*", "/tmp/down")),
    ],
)
def test_a_single_file_is_named_and_a_folder_has_a_star(job: Job, ways: tuple[str, str]) -> None:
    there = f"https://mystorage.blob.core.windows.net/data/a%20b/{_FOLDER.key}"
    assert AZCOPY.call(job).args[1:3] == tuple(way.format(there=there) for way in ways)
    assert ("--recursive" in AZCOPY.call(job).args) == (job.name is None)


def test_knobs_stand_in_the_command_and_secrets_do_not() -> None:
    call = AZCOPY.call(_job("upload", "0.bin", chunk_size_bytes=MIB // 2, concurrency=3))
    assert {"--block-size-mb=0.5", "--put-blob-size-mb=0.5", "--put-md5"} <= set(call.args)
    assert call.access.env["AZCOPY_CONCURRENCY_VALUE"] == "3"
    shown = call.shown()
    assert 'AZCOPY_SPA_CLIENT_SECRET="$SECRET"' in shown
    assert shown.startswith('mkdir -p "$WORK/AZCOPY_LOG_LOCATION" && ')
    several = AZCOPY.call(_job("download", None, transfers=2, concurrency=1, checksum=False))
    assert several.access.env["AZCOPY_CONCURRENCY_VALUE"] == "2"
    assert "--check-md5=NoCheck" in several.args


def test_a_large_pool_has_memory_for_what_is_in_flight() -> None:
    call = AZCOPY.call(_job("upload", "0.bin", chunk_size_bytes=256 * MIB, concurrency=16))
    assert float(call.access.env["AZCOPY_BUFFER_GB"]) >= 4


def test_a_token_is_given_to_nobody_but_microsoft_and_the_declared_endpoint() -> None:
    job = _job("upload", "0.bin")
    assert not [arg for arg in AZCOPY.call(job).args if "trusted" in arg]
    azurite = replace(_TARGET, endpoint="http://127.0.0.1:10000/mystorage")
    args = AZCOPY.call(replace(job, target=azurite)).args
    assert "--trusted-microsoft-suffixes=127.0.0.1:10000" in args


# --- what it says --------------------------------------------------------------------------------

_ADDRESS = "https://mystorage.blob.core.windows.net/data/0.bin"


def _line(kind: str, content: object) -> str:
    return json.dumps({"MessageType": kind, "MessageContent": content})


def _sent(number: int, attempt: int = 1, length: int = 5 * MIB) -> str:
    return (
        f"2026/11/22 10:00:00 ==> OUTGOING REQUEST (Try={attempt})\n"
        f"   PUT {_ADDRESS}?blockid={number}&comp=block\n   Content-Length: {length}\n\n"
    )


def _answered(number: int, status: int = 201) -> str:
    return (
        "2026/11/22 10:00:00 ==> REQUEST/RESPONSE (Try=1/1ms, OpTime=1ms) -- RESPONSE RECEIVED\n"
        f"   PUT {_ADDRESS}?blockid={number}&comp=block\n   Content-Length: 5242880\n"
        f"   {'-' * 80}\n   RESPONSE Status: {status} Words\n   Content-Length: 0\n\n"
    )


def _ran(folder: Path, log: str, out: list[str], *, err: str = "", code: int = 0) -> Ran:
    (folder / "AZCOPY_LOG_LOCATION").mkdir()
    (folder / "AZCOPY_LOG_LOCATION" / "job.log").write_text(log)
    (folder / "out").write_text("".join(f"{line}\n" for line in out))
    (folder / "log").write_text(err)
    started_at = datetime(2026, 11, 22, tzinfo=UTC)
    return Ran(
        operation=make_operation("upload", size=12 * MIB, chunk_size=5 * MIB, concurrency=2),
        ended=Exit(returncode=code, ended="exit", started_at=started_at, duration_s=2.0),
        out=folder / "out",
        log=folder / "log",
        counter=ConnectionCounter(),
        offers_http2=False,
        clean=str,
    )


def _done(files: int = 1, size_bytes: int = 12 * MIB) -> str:
    report = {"TransfersCompleted": str(files), "TotalBytesTransferred": str(size_bytes)}
    return _line("EndOfJob", json.dumps(report))


def test_blocks_and_what_was_in_flight_are_read_from_the_order_of_lines(tmp_path: Path) -> None:
    log = _sent(0) + _sent(1) + _answered(0) + _sent(2, length=2 * MIB) + _answered(1)
    seen = AZCOPY.read(_ran(tmp_path, log + _answered(2), [_done()]))
    assert seen.wrong is None
    assert seen.observed.chunks == 3
    assert seen.observed.chunk_size_bytes == 5 * MIB
    assert seen.observed.peak_in_flight == 2
    assert seen.retries == 0


def test_a_block_that_is_sent_again_is_a_retry(tmp_path: Path) -> None:
    log = _sent(0) + _answered(0, 503) + _sent(0, 2) + _sent(1) + _sent(2, length=2 * MIB)
    seen = AZCOPY.read(_ran(tmp_path, log, [_done()]))
    assert seen.retries == 1
    assert seen.repeated == "; 1 request was repeated, since the server answered 503"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (_sent(0, length=6 * MIB) + _sent(1, length=6 * MIB), "2 chunks, not 3"),
        (_sent(0) + _sent(1) + _sent(2, length=2 * MIB), "3 chunks at once, not 2"),
        ("", "azcopy's log shows no transfer"),
    ],
)
def test_what_is_not_as_declared_is_invalid(log: str, reason: str, tmp_path: Path) -> None:
    wrong = AZCOPY.read(_ran(tmp_path, log, [_done()])).wrong
    assert wrong is not None
    assert reason in wrong.text


@pytest.mark.parametrize(
    ("log", "error", "err", "code", "text"),
    [
        (
            f"ERR: [P#0-T#0] UPLOADFAILED: {_ADDRESS} : 403 : 403 This request is not authorized\n",
            *("", "", "no_permission"),
            "the server answered 403: 403 This request is not authorized",
        ),
        (
            *("", "Cannot perform copy due to error: The specified file was not found.", ""),
            *("not_found", "the server says that the object is not there"),
        ),
        (
            *("", 'failed to perform Auto-login: "AADSTS7000215: Invalid client secret."', ""),
            *("bad_credentials", "no token was given: AADSTS7000215: Invalid client secret."),
        ),
        (
            *("", "dial tcp 127.0.0.1:9: connect: connection refused", ""),
            *("refused", "127.0.0.1:9 refuses connections"),
        ),
        (
            *("", "", "azcopy: error while loading shared libraries: libsecret-1.so.0"),
            *("tool_failed", "azcopy: error while loading shared libraries: libsecret-1.so.0"),
        ),
    ],
)
def test_why_it_failed(
    log: str, error: str, err: str, code: str, text: str, tmp_path: Path
) -> None:
    out = [_line("Error", error)] if error else []
    why = AZCOPY.explain(_ran(tmp_path, log, out, err=err, code=1))
    assert (why.code, why.text) == (code, f"azcopy exit code 1: {text}")
