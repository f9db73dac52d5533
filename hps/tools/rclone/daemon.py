"""A daemon: an rclone that copies files to a bucket on request, through a Unix socket.

Starting a process for each copy would delay the next operation, or disturb it; the daemon answers
in milliseconds and is idle while an operation is measured. Where it has died, or does not answer at
all, another is started, a few times. API: https://rclone.org/rc/#operations-copyfile
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.errors import HpsError
from hps.model import Failure, Target
from hps.process import process
from hps.tools.client import ForeignObjectError
from hps.tools.rclone.command import ca_flags, child_env
from hps.tools.rclone.errors import explain
from hps.tools.rclone.remote import Remote, remote_of
from hps.units import format_time

_READY_TIMEOUT_S = 20.0
_RESTART_TIMEOUT_S = 5.0
# A daemon that is alive answers this without asking the bucket.
_CHEAPEST = "rc/noop"
_CHEAPEST_TIMEOUT_S = 2.0
_MOST_RESTARTS = 5
_MOST_SENDS = 3
_CONFIG = {
    "IgnoreTimes": True,
    "NoCheckDest": True,
    "DisableHTTP2": True,
    "IgnoreChecksum": True,
    "IgnoreSize": True,
}
_LOOK = {"filesOnly": True, "showHash": True, "hashTypes": ["md5"], "noMimeType": True}
_ANSWER_BYTES = 64 * 1024
_POLL_S = 0.05
_BLOCK_BYTES = 1024 * 1024
# unix(7): 108 bytes with the one that ends it.
_MOST_ADDRESS_BYTES = 107
_HUNG = failure("tool_failed", "the rclone that sends results hung: another one goes on", hint="")

Start = Callable[[float], AbstractContextManager[object]]


class _GoneError(Exception):
    """The daemon has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """The daemon's answer; `failure` is its error."""

    failure: Failure | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class CopyDaemon:
    """Fits `hps.tools.client.Courier`: a running daemon for one remote."""

    address: Path
    remote: Remote
    restarts: int = 0
    _start: Start = field(repr=False)
    _running: contextlib.ExitStack = field(repr=False)

    def copy(
        self,
        source: Path,
        key: str,
        *,
        timeout_s: float,
        is_cut_off: Callable[[], bool] = lambda: False,
        own: bool = True,
    ) -> Failure | None:
        """Copy a file to `key` under the remote's root. Returns why it failed.

        It is cut off after `timeout_s`, or as soon as `is_cut_off()`, and rclone cancels it. An
        object of this key is replaced; where `own` is False, only if the file begins with its
        content, and `ForeignObjectError` is raised otherwise.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                if not own:
                    self._check_own(source, key, end_s, is_cut_off)
                return self._send_whole(source, key, end_s, is_cut_off)
            except TimeoutError:
                late = failure("timeout", f"no answer within {format_time(timeout_s)}")
                return late if self._answers() else self._restart() or _HUNG
            except InterruptedError:
                return failure("stopped", "cut off, for the run was stopped")
            except _GoneError:
                problem = self._restart()
            if problem:
                return problem

    def _send_whole(
        self, source: Path, key: str, end_s: float, is_cut_off: Callable[[], bool]
    ) -> Failure | None:
        """Send a file, up to a few times, until the server has the same. Returns why it has not.

        This check replaces rclone's, which removes what does not pass, and with that the earlier
        copy. A server that compares content with its `Content-MD5` keeps the earlier copy anyway.
        """
        # With a folder in place of the root, or without the slash at its end, rclone first asks
        # the server whether it is a file, and continues to ask after the copy was cancelled.
        root = f"{self.remote.path()}/"
        send = {
            "srcFs": str(source.parent.absolute()),
            "srcRemote": source.name,
            "dstFs": root,
            "dstRemote": key,
            "_config": _CONFIG,
        }
        wrong = None
        for _ in range(_MOST_SENDS):
            wrong = _ask(self.address, "operations/copyfile", send, end_s, is_cut_off).failure
            if wrong:
                break
            found = self._look(key, end_s, is_cut_off)
            wrong = found.failure or _differs(source, found.data.get("item"))
            if wrong is None or wrong.code != "corrupted":
                break
        return wrong

    def _check_own(
        self, source: Path, key: str, end_s: float, is_cut_off: Callable[[], bool]
    ) -> None:
        """Raises `ForeignObjectError`. Where the look fails, sending fails too, with the reason."""
        item = self._look(key, end_s, is_cut_off).data.get("item")
        if isinstance(item, dict) and not _begins_with(source, item):
            raise ForeignObjectError

    def _look(self, key: str, end_s: float, is_cut_off: Callable[[], bool]) -> _Reply:
        """The server's object of this key, as `item` of the reply's data."""
        look = {"fs": f"{self.remote.path()}/", "remote": key, "opt": _LOOK, "_config": _CONFIG}
        return _ask(self.address, "operations/stat", look, end_s, is_cut_off)

    def _answers(self) -> bool:
        """False for a daemon that hangs; it answers where only the bucket hangs."""
        try:
            end_s = time.monotonic() + _CHEAPEST_TIMEOUT_S
            _ask(self.address, _CHEAPEST, {}, end_s, lambda: False)
        except (TimeoutError, _GoneError):
            return False
        return True

    def _restart(self) -> Failure | None:
        """Start another daemon. Returns why it could not be started."""
        if self.restarts == _MOST_RESTARTS:
            often = self.restarts + 1
            return failure(
                "tool_crashed", f"the rclone that sends results died or hung {often} times"
            )
        self.restarts += 1
        self._running.close()
        try:
            self._running.enter_context(self._start(_RESTART_TIMEOUT_S))
        except (HpsError, OSError) as error:
            text = f"the rclone that sends results died, and starts no more: {error}"
            return failure("tool_crashed", text)
        return None


@contextlib.contextmanager
def serve(
    target: Target, scratch: Path, binary: str, secrets: dict[str, str], guard: process.Guard
) -> Iterator[CopyDaemon]:
    """Keep a daemon running for the length of a `with` block. Raises `HpsError`."""
    address = scratch / "rc.sock"
    if len(os.fsencode(address)) > _MOST_ADDRESS_BYTES:
        hint = "name a shorter one in TMPDIR, such as /tmp"
        raise HpsError(f"the temporary folder has too long a path for a socket: {scratch}", hint)
    remote = remote_of(target)
    command = process.Command(
        argv=_arguments(binary, address, remote), env=child_env(remote, secrets)
    )

    def start(timeout_s: float) -> AbstractContextManager[object]:
        address.unlink(missing_ok=True)  # of one that has died
        return process.serve(
            command,
            log=scratch / "daemon.log",
            guard_process=guard,
            ready=lambda _: "ready" if _listens(address) else None,
            timeout_s=timeout_s,
        )

    with contextlib.ExitStack() as running:
        running.enter_context(start(_READY_TIMEOUT_S))
        yield CopyDaemon(address=address, remote=remote, _start=start, _running=running)


def _listens(address: Path) -> bool:
    """True once the daemon accepts connections; its socket exists a moment before."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(address)) == 0


def _arguments(binary: str, address: Path, remote: Remote) -> tuple[str, ...]:
    return (
        binary,
        "rcd",
        f"--rc-addr=unix://{address}",
        "--rc-no-auth",
        "--retries=1",
        "--low-level-retries=2",
        "--contimeout=10s",
        # `CopyDaemon` itself looks at what was sent.
        *remote.backend.unasked,
        # A journal grows, and rclone would keep as much of it in memory.
        "--buffer-size=0",
        *ca_flags(remote),
    )


def _ask(
    address: Path,
    call: str,
    request: Mapping[str, object],
    end_s: float,
    is_cut_off: Callable[[], bool],
) -> _Reply:
    """The daemon's answer.

    Raises `TimeoutError`, `InterruptedError` where `is_cut_off()`, and `_GoneError`. Closing the
    connection before the answer has come makes rclone cancel the copy.
    """
    connection = _UnixConnection(address, timeout=_RESTART_TIMEOUT_S)
    try:
        text, kind = json.dumps(request), {"Content-Type": "application/json"}
        connection.request("POST", f"/{call}", text, kind)
        _wait(connection.sock, end_s, is_cut_off)
        response = connection.getresponse()
        return _answer(response.status, response.read(_ANSWER_BYTES))
    except (TimeoutError, InterruptedError):
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _GoneError from error
    finally:
        connection.close()


def _wait(connection: socket.socket, end_s: float, is_cut_off: Callable[[], bool]) -> None:
    """Return once there is something to read."""
    while not select.select([connection], [], [], _POLL_S)[0]:
        if time.monotonic() >= end_s:
            raise TimeoutError
        if is_cut_off():
            raise InterruptedError


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: Path, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))


def _answer(status: int, body: bytes) -> _Reply:
    try:
        data = json.loads(body)
        wrong = None if status == http.client.OK else explain(str(data["error"]))
        return _Reply(failure=wrong, data=data)
    except (ValueError, KeyError, TypeError):
        return _Reply(failure=failure("tool_failed", f"rclone answered {status}"))


def _differs(source: Path, item: object) -> Failure | None:
    """Why what the server has is not this file; None: it is. Some servers send no checksum."""
    size_bytes, server_md5 = _size_and_md5(item)
    here_bytes = source.stat().st_size
    md5 = _md5(source, here_bytes)
    if size_bytes == here_bytes and server_md5 in {"", md5}:
        return None
    came = f"{size_bytes} bytes with the md5 {server_md5}"
    return failure("corrupted", f"the bucket has {came}, not {here_bytes} bytes with {md5}")


def _begins_with(source: Path, item: object) -> bool:
    """True where this file begins with what the server has: an earlier state of it was sent."""
    size_bytes, server_md5 = _size_and_md5(item)
    if not isinstance(size_bytes, int) or size_bytes > source.stat().st_size:
        return False
    return server_md5 in {"", _md5(source, size_bytes)}


def _size_and_md5(item: object) -> tuple[object, object]:
    found = item if isinstance(item, dict) else {}
    hashes = found.get("Hashes")
    return found.get("Size"), (hashes.get("md5") if isinstance(hashes, dict) else None) or ""


def _md5(path: Path, first_bytes: int) -> str:
    """The MD5, in hex, of the first bytes of a file."""
    digest, rest_bytes = hashlib.md5(usedforsecurity=False), first_bytes
    with path.open("rb") as stream:
        while block := stream.read(min(rest_bytes, _BLOCK_BYTES)):
            digest.update(block)
            rest_bytes -= len(block)
    return digest.hexdigest()
