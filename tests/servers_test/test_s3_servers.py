"""The servers start, keep their keys to themselves, speak TLS, and always stop."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.servers.child import ServerStartError, running
from tests.servers.moto_s3 import serve_moto
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

Serve = Callable[..., AbstractContextManager[S3Server]]


def _store_and_read(server: S3Server, tmp_path: Path) -> bytes:
    env = remote_environment(server)
    (tmp_path / "sent").write_bytes(b"payload")
    run_rclone(["copyto", str(tmp_path / "sent"), f"T:{server.bucket}/a/key"], env=env)
    run_rclone(["copyto", f"T:{server.bucket}/a/key", str(tmp_path / "got")], env=env)
    return (tmp_path / "got").read_bytes()


@pytest.mark.parametrize("serve", [serve_s3, serve_moto])
@pytest.mark.parametrize("tls", [False, True])
def test_a_server_stores_and_then_stops(serve: Serve, tls: bool, tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with serve(tmp_path / "server", tls=tls) as server:
        assert server.endpoint.startswith("https://" if tls else "http://")
        assert _store_and_read(server, tmp_path) == b"payload"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), 5.0)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_certificate_of_another_is_not_trusted(tmp_path: Path) -> None:
    with serve_s3(tmp_path / "server", tls=True) as server:
        env = remote_environment(replace(server, ca_cert=None))
        arguments = ["lsf", f"T:{server.bucket}", "--low-level-retries", "1", "--retries", "1"]
        assert "certificate" in run_rclone(arguments, env=env, check=False).stderr


def test_a_wrong_key_is_refused(s3_server: S3Server) -> None:
    env = remote_environment(replace(s3_server, secret_access_key="0" * 40))
    done = run_rclone(["lsf", f"T:{s3_server.bucket}", "--retries", "1"], env=env, check=False)
    assert done.returncode != 0
    assert "SignatureDoesNotMatch" in done.stderr


def test_keys_are_fresh_and_stand_on_no_command_line(tmp_path: Path, s3_server: S3Server) -> None:
    with serve_s3(tmp_path) as server:
        lines = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert [line for line in lines if "serve s3" in line]
    keys = {server.access_key_id, server.secret_access_key}
    assert not [line for line in lines if any(key in line for key in keys)]
    assert min(map(len, keys)) >= 16
    assert not keys & {s3_server.access_key_id, s3_server.secret_access_key}
    assert not any(key in repr(server) for key in keys)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    with (
        running(command, env={}, log=tmp_path / "log") as child,
        pytest.raises(ServerStartError, match=r"(?s)ended with 3.*no room"),
    ):
        child.wait_for_output(re.compile("never"))


def test_tests_run_in_a_home_of_their_own(own_environment: Path) -> None:
    assert Path.home() == own_environment
    assert os.environ["XDG_CONFIG_HOME"].startswith(str(own_environment))
    foreign = ("SALAD_", "CLOUDFLARE_", "AWS_", "RCLONE_")
    assert not [name for name in os.environ if name.startswith(foreign)]
