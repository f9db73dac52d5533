"""An rclone that waits beside a run to copy files to a bucket, reached through a Unix socket.

Starting a process for each copy would hold up the next operation, or run beside it; this one
answers in milliseconds and is idle while an operation is measured.
API: https://rclone.org/rc/#operations-copyfile
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps import process
from hps.errors import HpsError
from hps.targets import Remote, child_env

_READY_TIMEOUT_S = 20.0
_ANSWER_BYTES = 64 * 1024
# unix(7): 108 bytes with the one that ends it.
_MOST_ADDRESS_BYTES = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyDaemon:
    """A running daemon for one remote."""

    address: Path
    remote: Remote

    def copy(self, source: Path, key: str, *, timeout_s: float) -> str:
        """Copy a file to `key` under the remote's root. Returns why it failed, or nothing."""
        request = {
            "srcFs": str(source.parent.absolute()),
            "srcRemote": source.name,
            # With a folder in place of the root rclone asks the server first whether it is a file.
            "dstFs": self.remote.path(),
            "dstRemote": key,
            "_config": {"IgnoreTimes": True, "DisableHTTP2": True},
        }
        connection = _UnixConnection(self.address, timeout_s)
        try:
            connection.request(
                "POST",
                "/operations/copyfile",
                json.dumps(request),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            return _error(response.status, response.read(_ANSWER_BYTES))
        except (OSError, http.client.HTTPException) as error:
            return f"rclone gave no answer: {error or type(error).__name__}"
        finally:
            connection.close()


@contextlib.contextmanager
def serve(
    remote: Remote, scratch: Path, binary: str, secrets: dict[str, str], guard: process.Guard
) -> Iterator[CopyDaemon]:
    """Keep a daemon running for the length of a `with` block. Raises `HpsError`."""
    address = scratch / "rc.sock"
    if len(os.fsencode(address)) > _MOST_ADDRESS_BYTES:
        hint = "name a shorter one in TMPDIR, such as /tmp"
        raise HpsError(f"the temporary folder has too long a path for a socket: {scratch}", hint)
    certificate = (f"--ca-cert={remote.ca_cert}",) if remote.ca_cert else ()
    argv = (
        binary,
        "rcd",
        f"--rc-addr=unix://{address}",
        "--rc-no-auth",
        "--retries=1",
        "--low-level-retries=2",
        "--contimeout=10s",
        *certificate,
    )
    with process.serve(
        process.Command(argv=argv, env=child_env(remote, secrets)),
        log=scratch / "daemon.log",
        guard_process=guard,
        ready=lambda _: "ready" if address.exists() else None,
        timeout_s=_READY_TIMEOUT_S,
    ):
        yield CopyDaemon(address=address, remote=remote)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))


def _error(status: int, body: bytes) -> str:
    if status == http.client.OK:
        return ""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"rclone answered {status}"
