"""A real S3 server outside of a link, or on loopback, and the variables that name it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from bench.link.link import Link
from hps.process import process
from hps.tools.rclone import command
from hps.tools.rclone.command import child_env

BUCKET, FOLDER = "hps", "link"
LOOPBACK_HOST = "127.0.0.1"
_READY_TIMEOUT_S = 20.0
_ADDRESS = re.compile(r"Starting s3 server on \[(http://[\d.]+:\d+)/\]")


def outside(link: Link | None) -> AbstractContextManager[None]:
    """A `with` block on the outside of the link; without one there is but one side."""
    return contextlib.nullcontext() if link is None else link.outside()


def host_of(link: Link | None) -> str:
    """Where servers on that side listen."""
    return LOOPBACK_HOST if link is None else link.host


@contextlib.contextmanager
def serve_s3(link: Link | None) -> Iterator[Mapping[str, str]]:
    """Run `rclone serve s3` for a `with` block, with fresh keys and a folder of its own.

    It listens on the outside of the link; None: on this machine's loopback. Yields
    `CLOUDFLARE_ENDPOINT_URL`, `CLOUDFLARE_ID`, `CLOUDFLARE_KEY`, `BUCKET` and `FOLDER`, as the
    shipped experiments and `r2:` addresses read them. Raises `HpsError` where it can't start.
    """
    key_id, secret = secrets.token_hex(16), secrets.token_hex(24)
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-link-")))
        guard.send("remove", str(scratch))
        (scratch / "served" / BUCKET).mkdir(parents=True)
        with outside(link):
            endpoint = stack.enter_context(
                process.serve(
                    _command(host_of(link), scratch / "served", key_id, secret),
                    log=scratch / "log",
                    guard_process=guard,
                    ready=_address,
                    timeout_s=_READY_TIMEOUT_S,
                )
            )
        yield {
            "CLOUDFLARE_ENDPOINT_URL": endpoint,
            "CLOUDFLARE_ID": key_id,
            "CLOUDFLARE_KEY": secret,
            "BUCKET": BUCKET,
            "FOLDER": FOLDER,
        }


def _command(host: str, folder: Path, key_id: str, secret: str) -> process.Command:
    binary = command.find_binary(os.environ)
    argv = (binary, "serve", "s3", str(folder), f"--addr={host}:0", "--vfs-cache-mode=off")
    # By environment and not by argument: everyone on the machine can read arguments.
    return process.Command(
        argv=argv, env={**child_env(None, {}), "RCLONE_AUTH_KEY": f'"{key_id},{secret}"'}
    )


def _address(log: str) -> str | None:
    match = _ADDRESS.search(log)
    return match[1] if match else None
