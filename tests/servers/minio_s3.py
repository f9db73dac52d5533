"""MinIO: a third S3 server, which checks signatures and answers as S3 does; not always here."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.child import running
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

BUCKET = "bucket"
_ADDRESS = re.compile(r"API: (http://127\.0\.0\.1:\d+)")


@contextmanager
def serve_minio(folder: Path) -> Iterator[S3Server]:
    """Run MinIO on loopback with one empty bucket and fresh keys, all its files in `folder`.

    Skips the test where `HPS_MINIO` names none and PATH has none. Raises `ServerStartError` where
    it does not answer in time.
    """
    minio = os.environ.get("HPS_MINIO") or shutil.which("minio")
    if minio is None:
        pytest.skip("there is no MinIO here: put minio on PATH, or name it in HPS_MINIO")
    folder.mkdir(parents=True, exist_ok=True)
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    command = [minio, "server", "--address", "127.0.0.1:0", str(folder / "data")]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "MINIO_ROOT_USER": key,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    with running(command, env=environment, log=folder / "minio.log") as child:
        server = S3Server(
            endpoint=child.wait_for_output(_ADDRESS)[1],
            access_key_id=key,
            secret_access_key=secret,
            bucket=BUCKET,
            provider="Minio",
        )
        child.wait_for_answer(server.endpoint)
        run_rclone(["mkdir", f"T:{BUCKET}"], env=_maker(server))
        yield server


def _maker(server: S3Server) -> dict[str, str]:
    """The remote of other tests takes the bucket for granted."""
    env = remote_environment(server)
    return {name: value for name, value in env.items() if not name.endswith("_NO_CHECK_BUCKET")}
