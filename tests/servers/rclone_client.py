"""rclone as a client of a test's S3 server: its remote, and runs of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

REMOTE = "T"
TIMEOUT_S = 120.0


def remote_environment(server: S3Server, endpoint: str | None = None) -> dict[str, str]:
    """Variables that define the remote `T:`, at `endpoint` where it is not the server's own.

    The server's certificate is trusted, and no other.
    """
    settings = {
        "TYPE": "s3",
        "PROVIDER": server.provider,
        "ENDPOINT": endpoint or server.endpoint,
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": server.access_key_id,
        "SECRET_ACCESS_KEY": server.secret_access_key,
        "NO_CHECK_BUCKET": "true",
    }
    remote = {f"RCLONE_CONFIG_{REMOTE}_{name}": value for name, value in settings.items()}
    trust = {"RCLONE_CA_CERT": str(server.ca_cert)} if server.ca_cert else {}
    return {"RCLONE_CONFIG": "/dev/null", **remote, **trust}


def run_rclone(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run rclone to its end. Raises `CalledProcessError` unless `check` is False."""
    done = subprocess.run(
        [find_rclone(), *arguments],
        env={**_plain_environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, done.args, done.stdout, done.stderr[-2000:]
        )
    return done


def log_messages(stderr: str) -> list[str]:
    """The message of every JSON line that `--use-json-log` wrote."""
    lines = (line for line in stderr.splitlines() if line.startswith("{"))
    return [str(json.loads(line)["msg"]) for line in lines]


def make_payload(path: Path, size: str, *, seed: int = 1) -> Path:
    """Write a file of incompressible bytes; `size` as rclone has it: `200Mi`, `64Ki`."""
    run_rclone(["test", "makefile", size, str(path), "--seed", str(seed)])
    return path


def _plain_environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "/nonexistent"),
        "RCLONE_CONFIG": "/dev/null",
    }
