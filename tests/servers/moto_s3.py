"""moto: a second S3 server, independent of rclone, that keeps everything in memory."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.certificate import make_certificate
from tests.servers.child import ask, running
from tests.servers.s3_server import S3Server

BUCKET = "bucket"
_ADDRESS = re.compile(r"Running on (https?://127\.0\.0\.1:\d+)")


@contextmanager
def serve_moto(folder: Path, *, tls: bool = False) -> Iterator[S3Server]:
    """Run moto on loopback with one empty bucket; `folder` takes its log and certificate.

    moto takes any keys. Raises `ServerStartError` where it does not answer in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = make_certificate(folder) if tls else None
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    if certificate:
        command += ["-s", "-c", str(certificate.cert), "-k", str(certificate.key)]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    with running(command, env=environment, log=folder / "moto.log") as child:
        server = S3Server(
            endpoint=child.wait_for_output(_ADDRESS)[1],
            access_key_id=secrets.token_hex(10),
            secret_access_key=secrets.token_hex(20),
            bucket=BUCKET,
            provider="Other",
            ca_cert=certificate.cert if certificate else None,
        )
        child.wait_for_answer(server.endpoint, server.ca_cert)
        _make_bucket(server)
        yield server


def _make_bucket(server: S3Server) -> None:
    status, _ = ask(server.endpoint, "PUT", f"/{server.bucket}", ca_cert=server.ca_cert)
    if status != 200:
        raise RuntimeError(f"moto answered {status} to the making of a bucket")
