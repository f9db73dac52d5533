"""rclone as an S3 server on loopback, whose buckets are folders."""

from __future__ import annotations

import re

from hps.process import process
from hps.tools.rclone.command import NAME, child_env

# `"KEY_ID,SECRET"`: by environment, since everyone on a machine can read arguments.
_KEYS_ENV = "RCLONE_AUTH_KEY"
_ADDRESS = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/\]")


class RcloneServer:
    """How the server is started, here and by a person, and where it then listens."""

    def command(self, binary: str, folder: str, key_id: str, secret: str) -> process.Command:
        """The server at a port of its own choice; each folder in `folder` is a bucket.

        Without a `key_id` it asks nobody for keys.
        """
        keys = {_KEYS_ENV: f'"{key_id},{secret}"'} if key_id else {}
        env = child_env(None, {}) | keys
        return process.Command(argv=(binary, *_arguments(folder, "127.0.0.1:0")), env=env)

    def address(self, log: str) -> str | None:
        """The endpoint, by the log of a server that is starting; None: it does not listen yet."""
        match = _ADDRESS.search(log)
        return match[1] if match else None

    def shell_command(self, folder: str, address: str, key_id_env: str, secret_env: str) -> str:
        """The server as a line for a shell; all but the address are names of its variables."""
        keys = f'"\\"${key_id_env},${secret_env}\\""'
        return " ".join((f"{_KEYS_ENV}={keys}", NAME, *_arguments(f'"${folder}"', address)))


def _arguments(folder: str, address: str) -> tuple[str, ...]:
    return "serve", "s3", folder, f"--addr={address}", "--vfs-cache-mode=off"
