"""The exact arguments that make a cell happen, and where secrets are not."""

from __future__ import annotations

import shlex
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.run_folder import OwnFolder
from hps.tools import CLIENT, COPIER
from hps.tools.invocation import Invocation
from hps.tools.rclone import command as rclone
from hps.tools.rclone.remote import remote_of
from tests.builders import MIB, S3, make_transfer

GIB = 1024**3
REMOTE = remote_of(S3)
OLDEST = ".".join(map(str, rclone.OLDEST))
SECRETS = {"TEST_KEY_ID": "AKIAVERYSECRETKEY", "TEST_SECRET": "the/secret+itself=="}
MEASURED = (
    "--ignore-times",
    "--error-on-no-transfer",
    "--retries=1",
    "--low-level-retries=3",
    "--s3-sdk-log-mode=Retries",
    "--use-json-log",
    "-vv",
    "--stats=500ms",
    "--stats-log-level=NOTICE",
)


TRIAL = OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab")
BRIEF = ("--disable-http2", "--retries=1", "--low-level-retries=2", "--contimeout=10s")


def _upload(*, size_bytes: int = 200 * MIB, **transfer: object) -> tuple[str, ...]:
    asked = make_transfer(**transfer)
    return rclone.upload(REMOTE, "/p/0", "k/0", asked, size_bytes=size_bytes, folder=False).args


def _download(**transfer: object) -> tuple[str, ...]:
    return rclone.download(REMOTE, "k/0", "/d/0", make_transfer(**transfer), folder=False).args


def test_an_upload_of_a_file() -> None:
    assert _upload(concurrency=10, transfers=3) == (
        "copyto",
        "/p/0",
        "s3:bucket/tests/k/0",
        *MEASURED,
        "--transfers=3",
        "--no-check-dest",
        "--s3-chunk-size=10485760B",
        "--s3-upload-cutoff=0B",
        "--s3-upload-concurrency=10",
        "--multi-thread-streams=1",
        "--disable-http2",
    )


def test_a_download_of_a_file() -> None:
    assert _download(concurrency=10, transfers=3) == (
        "copyto",
        "s3:bucket/tests/k/0",
        "/d/0",
        *MEASURED,
        "--transfers=3",
        "--multi-thread-chunk-size=10485760B",
        "--multi-thread-cutoff=0B",
        "--multi-thread-streams=10",
        "--disable-http2",
    )


@pytest.mark.parametrize(
    ("chunk_bytes", "size_bytes", "cutoff"),
    [
        (10 * MIB, 10 * MIB + 1, "0B"),
        (10 * MIB, 10 * MIB, "5368709120B"),
        (10 * MIB, 1, "5368709120B"),
        (GIB, 200 * MIB, "5368709120B"),
    ],
)
def test_a_file_of_one_chunk_goes_up_in_one_put(
    chunk_bytes: int, size_bytes: int, cutoff: str
) -> None:
    args = _upload(chunk_size_bytes=chunk_bytes, size_bytes=size_bytes)
    assert f"--s3-upload-cutoff={cutoff}" in args


def test_http2_is_left_on_where_it_is_asked_for() -> None:
    for args in (_upload(http2=True), _download(http2=True)):
        assert not [argument for argument in args if "http2" in argument]


def test_without_checksums() -> None:
    assert {"--s3-disable-checksum", "--ignore-checksum"} <= set(_upload(checksum=False))
    assert "--ignore-checksum" in _download(checksum=False)
    assert not [argument for argument in (*_upload(), *_download()) if "checksum" in argument]


def test_folders_are_copied_and_synced() -> None:
    asked = make_transfer()
    up = rclone.upload(REMOTE, "/p", TRIAL.key, asked, size_bytes=MIB, folder=True)
    down = rclone.download(REMOTE, "k", "/d", asked, folder=True)
    sync_up = rclone.sync_up(REMOTE, "/p", TRIAL, asked, size_bytes=MIB)
    sync_down = rclone.sync_down(REMOTE, "k", "/d", asked)
    assert up.args[:3] == ("copy", "/p", f"s3:bucket/tests/{TRIAL.key}/")
    assert down.args[:3] == ("copy", "s3:bucket/tests/k/", "/d")
    only = (r"--filter=+ /{{(?:[0-9]/)?[0-9]+\.bin}}", "--filter=- **")
    # To make a folder equal, it has to be looked at.
    looking = {*up.args[1:]} - {"--no-check-dest"}
    assert (sync_up.args[0], set(sync_up.args[1:])) == ("sync", {*looking, *only})
    assert (sync_down.args[0], sync_down.args[1:]) == ("sync", down.args[1:])


def test_calls_that_move_no_payload() -> None:
    at = "s3:bucket/tests/k/"
    assert CLIENT.list_names(S3, "k").invocation.args == (
        *("lsf", "--recursive", "--files-only", at, *BRIEF),
    )
    key = f"s3:bucket/tests/{TRIAL.key}/"
    deleted = CLIENT.delete(S3, TRIAL).invocation.args
    assert (deleted[0], deleted[-5:]) == ("delete", (key, *BRIEF))
    assert "--filter=- **" in deleted
    assert CLIENT.abort_uploads(S3, TRIAL).invocation.args == (
        *("backend", "cleanup", *BRIEF, "-o", "max-age=-48h", key),
    )
    assert rclone.make_files(("/a", "/b"), 7, zeros=True).args == (
        *("test", "makefile", "--zero", "7B", "/a", "/b"),
    )
    assert "--seed=1" in rclone.make_files(("/a",), 7, zeros=False).args


def test_a_certificate_is_trusted_by_every_call() -> None:
    target = replace(S3, ca_cert="/ca.pem")
    remote = remote_of(target)
    asked = make_transfer()
    calls = (
        rclone.upload(remote, "/p", "k", asked, size_bytes=MIB, folder=False),
        rclone.download(remote, "k", "/d", asked, folder=False),
        rclone.sync_up(remote, "/p", TRIAL, asked, size_bytes=MIB),
        rclone.sync_down(remote, "k", "/d", asked),
        CLIENT.list_names(target, "k").invocation,
        CLIENT.delete(target, TRIAL).invocation,
        CLIENT.abort_uploads(target, TRIAL).invocation,
        CLIENT.list_uploads(target, "k").invocation,
        CLIENT.read_again(target, "k", times=2, at_once=1).invocation,
        CLIENT.begin_and_abort(target, "/p", "k").invocation,
        COPIER.send(target, Path("/p"), "k"),
    )
    for call in calls:
        assert call.args.count("--ca-cert=/ca.pem") == 1


def _printing(key: str) -> Invocation:
    return CLIENT.get(S3, key).invocation


def test_secrets_are_in_the_environment_alone() -> None:
    call = rclone.upload(REMOTE, "/p", "k", make_transfer(), size_bytes=MIB, folder=False)
    command = call.command("/bin/rclone", SECRETS)
    assert command.argv == ("/bin/rclone", *call.args)
    assert command.env["RCLONE_CONFIG_S3_ACCESS_KEY_ID"] == SECRETS["TEST_KEY_ID"]
    assert command.env["RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"] == SECRETS["TEST_SECRET"]
    for text in (" ".join(command.argv), call.shown(), repr(call), repr(command)):
        for secret in SECRETS.values():
            assert secret not in text


def test_what_is_shown_is_one_line_for_a_shell() -> None:
    shown = _printing("it's/a folder/$RUN_ID").shown()
    assert "\n" not in shown
    assignments = ("RCLONE_CONFIG=/dev/null", "RCLONE_CONFIG_S3_TYPE=s3")
    assert shown.startswith(" ".join(assignments))
    assert 'RCLONE_CONFIG_S3_SECRET_ACCESS_KEY="$TEST_SECRET" rclone cat' in shown
    assert "s3:bucket/tests/it's/a folder/$RUN_ID" in shlex.split(shown)
    plain = _printing("data/$RUN_ID").shown()
    assert ' "s3:bucket/tests/data/$RUN_ID" ' in plain


def test_an_unset_secret_is_named() -> None:
    with pytest.raises(HpsError) as caught:
        _printing("k").command("rclone", {"TEST_KEY_ID": "x"})
    assert caught.value.message == (
        "the environment variable TEST_SECRET is not set: target 's3' needs it"
    )


def test_the_binary_that_is_named_is_used(rclone_path: str) -> None:
    assert rclone.find_binary({"HPS_RCLONE": rclone_path}) == rclone_path


@pytest.mark.parametrize("named", ["/nowhere/rclone", "/tmp"])
def test_a_named_binary_that_is_none_is_an_error(named: str) -> None:
    with pytest.raises(HpsError) as caught:
        rclone.find_binary({"HPS_RCLONE": named})
    assert caught.value.message == f"HPS_RCLONE names '{named}', which is no program"
    assert caught.value.hint == rclone.HOW_TO_GET


def test_the_version_is_read_from_the_real_program(rclone_path: str) -> None:
    version = tuple(map(int, rclone.read_version(rclone_path).split(".")))
    assert len(version) == 3
    assert version >= rclone.OLDEST


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo rclone v1.67.9", "is rclone 1.67.9, which is too old"),
        ("echo something else", "does not answer like rclone"),
        ("echo rclone v1.75.2; exit 3", "does not answer like rclone"),
    ],
)
def test_a_program_that_will_not_do(script: str, message: str, tmp_path: Path) -> None:
    program = _program(tmp_path, script)
    with pytest.raises(HpsError) as caught:
        rclone.read_version(program)
    assert caught.value.message == f"{program} {message}"


@pytest.mark.parametrize(
    ("answer", "version"),
    [(f"rclone v{OLDEST}", OLDEST), ("rclone v2.0", "2.0.0"), ("rclone v1.76.0-beta.1", "1.76.0")],
)
def test_versions(answer: str, version: str, tmp_path: Path) -> None:
    assert rclone.read_version(_program(tmp_path, f"echo {answer}")) == version


def _program(folder: Path, script: str) -> str:
    path = folder / "rclone"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
