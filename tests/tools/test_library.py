"""Libraries: what their runners are called with, and what their reports and errors come to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import hps
from hps.model import Operation
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Installed, Job, Missing, Movement, Ran
from hps.tools.library import Library
from tests.builders import MIB, S3, make_operation, make_transfer

_BEGAN = datetime(2026, 11, 29, tzinfo=UTC)
_LIBRARIES = [name for name, tool in TOOLS.items() if isinstance(tool, Library)]


def _job(movement: Movement = "upload", name: str | None = "0.bin", **changes: object) -> Job:
    return Job(
        movement=movement,
        target=replace(S3, endpoint="https://s3.test", ca_cert="/etc/ca.pem"),
        folder=OwnFolder("data/unit/20261129T101530123Z-5f3a9c/0123456789ab"),
        local="/tmp/a b",
        name=name,
        settings=make_transfer(**changes),
        size_bytes=40 * MIB,
        files=1 if name else 3,
    )


@pytest.mark.parametrize("name", _LIBRARIES)
def test_it_is_found_with_its_version_where_this_python_has_it(name: str) -> None:
    found = TOOLS[name].find({})
    assert isinstance(found, Installed)
    assert found.version[0].isdigit()
    missing = Library(name="nowhere_to_be_found").find({})
    assert isinstance(missing, Missing)
    assert missing.why == "this Python has no nowhere_to_be_found"


def test_one_that_is_too_old_to_be_told_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, is_here in (("1.35.99", False), ("1.36.0", True), ("2.0.0b1", True)):
        there = tmp_path / version
        (there / f"boto3-{version}.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: boto3\nVersion: {version}\n"
        (there / f"boto3-{version}.dist-info" / "METADATA").write_text(metadata)
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(there))
            found = TOOLS["boto3"].find({})
        assert isinstance(found, Installed) is is_here, version
        assert is_here or "is 1.35.99, and 1.36 is the oldest" in getattr(found, "why", "")


def test_what_is_asked_stands_in_the_command_and_secrets_do_not() -> None:
    call = TOOLS["boto3"].call(_job(chunk_size_bytes=7 * MIB, concurrency=3, checksum=False))
    shown = call.shown()
    assert f"--chunk-bytes={7 * MIB} --streams=3" in shown
    assert "python -m hps.runners.boto3_copy up --bucket=" in shown
    assert 'AWS_SECRET_ACCESS_KEY="$TEST_SECRET"' in shown
    assert not {"--checksum", "--folder", "--files-at-once", "--http2"} & set(call.args)
    assert "--checksum" in TOOLS["boto3"].call(_job(checksum=True)).args


def test_it_runs_in_a_python_that_finds_this_package_and_nothing_by_chance() -> None:
    job = _job()
    call = TOOLS["obstore"].call(replace(job, target=replace(job.target, ca_cert=None)))
    command = call.command("/usr/bin/python3", {"TEST_KEY_ID": "id", "TEST_SECRET": "hush"})
    assert command.argv[:4] == ("/usr/bin/python3", "-P", "-m", "hps.runners.obstore_copy")
    assert command.env["PYTHONPATH"] == str(Path(hps.__file__).parents[1])
    assert not any("hush" in argument for argument in command.argv)


@pytest.mark.parametrize(
    ("transfers", "concurrency", "flags"),
    [
        (1, 3, {"--folder", "--streams=3"}),
        (4, 1, {"--folder", "--streams=4", "--files-at-once"}),
    ],
)
def test_one_pool_is_for_the_chunks_of_a_file_or_for_files(
    transfers: int, concurrency: int, flags: set[str]
) -> None:
    call = TOOLS["boto3"].call(_job(name=None, transfers=transfers, concurrency=concurrency))
    assert flags <= set(call.args)
    assert ("--files-at-once" in call.args) == (transfers > 1)


def _ran(folder: Path, out: str, err: str = "", code: int = 0) -> Ran:
    (folder / "out").write_text(out)
    (folder / "log").write_text(err)
    operation: Operation = make_operation(
        "upload", tool="boto3", size=12 * MIB, chunk_size=5 * MIB, concurrency=2
    )
    return Ran(
        operation=operation,
        ended=Exit(returncode=code, ended="exit", started_at=_BEGAN, duration_s=9.0),
        out=folder / "out",
        log=folder / "log",
        counter=ConnectionCounter(samples=9, most_with_payload=2),
        offers_http2=False,
        clean=lambda said: said.replace("hidden", "***"),
    )


def _request(number: int, size: int, sent_s: float, ended_s: float, **more: object) -> str:
    # By two clocks, of which only that of the day is also the runner's parent's.
    times = {"sent_s": 77 + sent_s, "ended_s": 77 + ended_s, "sent_at": _BEGAN.timestamp() + sent_s}
    line = {"id": f"/b/k {number}", "bytes": size, "tries": 1, **times, **more}
    return json.dumps(line) + "\n"


_FILE = json.dumps({"file": "/tmp/0.bin", "bytes": 12 * MIB}) + "\n"


def test_reports_are_evidence(tmp_path: Path) -> None:
    out = (
        "a line that its library printed\n"
        + _request(1, 5 * MIB, 0.5, 2.0)
        + _request(2, 5 * MIB, 1.0, 3.0)
        + _request(3, 2 * MIB, 2.5, 3.5)
        + _FILE
        + '{"id": "/b/k 4", "byt'
    )
    seen = TOOLS["boto3"].read(_ran(tmp_path, out))
    assert (seen.wrong, seen.retries, seen.repeated, seen.proof) == (None, 0, "", "log")
    assert seen.setup_s == pytest.approx(0.5)
    assert (seen.observed.chunks, seen.observed.peak_in_flight) == (3, 2)


def test_what_is_sent_again_counts_and_waiting_before_it_is_not_in_flight(tmp_path: Path) -> None:
    """The first was sent at 0.4 s, refused, and sent again when the second was long over."""
    again = {"tries": 2, "sent_at": _BEGAN.timestamp() + 0.4}
    out = (
        _request(1, 5 * MIB, 5.0, 6.0, **again)
        + _request(2, 5 * MIB, 0.5, 2.0)
        + _request(3, 2 * MIB, 2.5, 3.5)
        + _FILE
    )
    seen = TOOLS["boto3"].read(_ran(tmp_path, out))
    assert (seen.retries, seen.repeated) == (1, "; 1 request was repeated")
    assert seen.observed.peak_in_flight == 1
    assert seen.setup_s == pytest.approx(0.4)


def test_a_range_that_came_twice_is_one_chunk(tmp_path: Path) -> None:
    out = (
        _request(1, MIB, 0.5, 2.0)  # cut off in the middle
        + _request(1, 5 * MIB, 2.0, 3.0)
        + _request(2, 5 * MIB, 2.0, 3.0)
        + _request(3, 2 * MIB, 3.0, 3.5)
        + _FILE
    )
    seen = TOOLS["boto3"].read(_ran(tmp_path, out))
    assert (seen.wrong, seen.retries, seen.observed.chunks) == (None, 1, 3)


def test_without_requests_connections_are_the_proof(tmp_path: Path) -> None:
    seen = TOOLS["awscrt"].read(_ran(tmp_path, _FILE))
    assert (seen.wrong, seen.proof, seen.setup_s) == (None, "sockets", None)
    assert seen.retries is None, "it repeats requests in silence"
    assert seen.observed.peak_in_flight == seen.observed.connections == 2


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            {"status": 403, "error": "AccessDenied", "message": "hidden", "call": "PutObject"},
            "no_permission",
            "boto3 exit code 1: the server answered 403 AccessDenied to PutObject: ***",
        ),
        (
            {"kinds": ["EndpointConnectionError", "ConnectionRefusedError"], "message": "x"},
            "refused",
            "boto3 exit code 1: the endpoint refuses connections",
        ),
        (
            {"kinds": ["SSLError", "[SSL: CERTIFICATE_VERIFY_FAILED] …"], "message": "x"},
            "bad_certificate",
            "boto3 exit code 1: the certificate is not accepted",
        ),
        ({"kinds": ["gaierror", "[Errno -2]"]}, "name_unknown", None),
        ({"kinds": ["GenericError", "retry_timeout: 180s"], "message": "odd"}, "tool_failed", None),
        ({"kinds": ["ReadTimeoutError"]}, "timeout", None),
        ({"kinds": ["OSError", "[Errno 28] No space left on device"]}, "disk_full", None),
        ({"error": "AWS_IO_SOCKET_CLOSED"}, "connection_lost", None),
    ],
)
def test_an_error_has_a_code(
    error: dict[str, object], code: str, text: str | None, tmp_path: Path
) -> None:
    """Also where Python warns of something after it."""
    log = f"{json.dumps(error)}\nsys:1: ResourceWarning: unclosed file\n"
    why = TOOLS["boto3"].explain(_ran(tmp_path, "", log, code=1))
    assert why.code == code
    assert text is None or why.text == text


def test_a_traceback_is_told_by_its_last_line(tmp_path: Path) -> None:
    log = "Traceback (most recent call last):\n  …\nKeyError: 'AWS_REGION'\n"
    why = TOOLS["awscrt"].explain(_ran(tmp_path, "", log, code=1))
    assert (why.code, why.text) == ("tool_failed", "awscrt exit code 1: KeyError: 'AWS_REGION'")
    silent = TOOLS["awscrt"].explain(_ran(tmp_path, "", "", code=1))
    assert silent.text == "awscrt exit code 1: it printed nothing"


@pytest.mark.parametrize(
    ("transfers", "concurrency", "streams"),
    [(None, 4, "4"), (2, 4, "2"), (1, 4, "4"), (2, None, "2"), (None, None, None)],
)
def test_several_files_share_the_streams_that_are_told(
    transfers: int | None, concurrency: int | None, streams: str | None
) -> None:
    call = TOOLS["boto3"].call(_job(name=None, transfers=transfers, concurrency=concurrency))
    told = [arg for arg in call.args if arg.startswith("--streams=")]
    assert told == ([] if streams is None else [f"--streams={streams}"])
    assert ("--files-at-once" in call.args) == (transfers != 1)
