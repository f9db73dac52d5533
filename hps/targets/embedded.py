"""The embedded target: an S3 server on loopback, with fresh keys and a folder of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hps.model import SecretRef, Target
from hps.process import process
from hps.tools import SERVER

KEY_ID_ENV = "HPS_EMBEDDED_KEY_ID"
SECRET_ENV = "HPS_EMBEDDED_SECRET"  # noqa: S105 - the name of a variable
_READY_TIMEOUT_S = 20.0


def new_keys() -> dict[str, str]:
    """Random keys, by the names of variables that the embedded target refers to."""
    return {KEY_ID_ENV: secrets.token_hex(16), SECRET_ENV: secrets.token_hex(24)}


@contextlib.contextmanager
def serve(
    target: Target, folder: Path, binary: str, keys: dict[str, str], guard: process.Guard
) -> Iterator[Target]:
    """Run the server for the length of a `with` block; yields the target with its endpoint.

    Without any `keys` it takes whatever a request is signed by. Raises `HpsError` where it can't be
    started.
    """
    (folder / target.bucket).mkdir(parents=True, exist_ok=True)
    with process.serve(
        SERVER.command(binary, str(folder), keys.get(KEY_ID_ENV, ""), keys.get(SECRET_ENV, "")),
        log=folder.parent / "embedded.log",
        guard_process=guard,
        ready=SERVER.address,
        timeout_s=_READY_TIMEOUT_S,
    ) as endpoint:
        yield replace(
            target,
            endpoint=endpoint,
            access_key_id=SecretRef(env=KEY_ID_ENV),
            secret_access_key=SecretRef(env=SECRET_ENV),
            force_path_style=True,
        )


def shell_command(folder: str, address: str) -> str:
    """The server as a line for a shell that has the keys; `folder` is the name of a variable."""
    return SERVER.shell_command(folder, address, KEY_ID_ENV, SECRET_ENV)
