"""An rclone that waits beside a run to copy files to a bucket, reached through a Unix socket.

Starting a process for each copy would hold up the next operation, or run beside it; this one
answers in milliseconds and is idle while an operation is measured. Where it has died, or answers
nothing at all, another is started, a few times. API: https://rclone.org/rc/#operations-copyfile
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

from hps import process
from hps.catalog.failures import Failure, failure
from hps.errors import HpsError
from hps.targets import Remote, child_env
from hps.tools.why import explain
from hps.units import format_time

_READY_TIMEOUT_S = 20.0
_AGAIN_TIMEOUT_S = 5.0
# A daemon that is alive answers this without asking the bucket.
_CHEAPEST = "rc/noop"
_CHEAPEST_TIMEOUT_S = 2.0
_MOST_STARTS_AGAIN = 5
_MOST_SENT = 3
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


class TakenError(Exception):
    """Under this key lies what somebody else has sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What the daemon says; `failure` is its error."""

    failure: Failure | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class CopyDaemon:
    """A running daemon for one remote. `starts_again` counts how often it had died, or hung."""

    address: Path
    remote: Remote
    starts_again: int = 0
    _start: Start = field(repr=False)
    _running: contextlib.ExitStack = field(repr=False)

    def copy(
        self,
        source: Path,
        key: str,
        *,
        timeout_s: float,
        given_up: Callable[[], bool] = lambda: False,
        own: bool = True,
    ) -> Failure | None:
        """Copy a file to `key` under the remote's root. Returns why it failed.

        It is cut off after `timeout_s`, or as soon as `given_up` says so: nothing of it goes on.
        What lies there already is replaced. Not `own`: only where the file begins with it, and
        `TakenError` is raised else.
        """
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                if not own:
                    self._check_own(source, key, end_s, given_up)
                return self._sent_whole(source, key, end_s, given_up)
            except TimeoutError:
                said = failure("timeout", f"no answer within {format_time(timeout_s)}")
                return said if self._answers() else self._start_again() or _HUNG
            except InterruptedError:
                return failure("stopped", "cut off, for the run was stopped")
            except _GoneError:
                problem = self._start_again()
            if problem:
                return problem

    def _sent_whole(
        self, source: Path, key: str, end_s: float, given_up: Callable[[], bool]
    ) -> Failure | None:
        """Send a file until the server has it as it is here, a few times. Returns what went wrong.

        The check is ours, since rclone removes what does not pass its own, and with that the
        earlier copy. A server that compares what comes with its `Content-MD5` keeps that anyway.
        """
        # With a folder in place of the root, or without the slash at its end, rclone first asks
        # the server whether it is a file, and goes on asking when the copy was given up.
        root = f"{self.remote.path()}/"
        send = {
            "srcFs": str(source.parent.absolute()),
            "srcRemote": source.name,
            "dstFs": root,
            "dstRemote": key,
            "_config": _CONFIG,
        }
        wrong = None
        for _ in range(_MOST_SENT):
            wrong = _ask(self.address, "operations/copyfile", send, end_s, given_up).failure
            if wrong:
                break
            found = self._look(key, end_s, given_up)
            wrong = found.failure or _differs(source, found.data.get("item"))
            if wrong is None or wrong.code != "corrupted":
                break
        return wrong

    def _check_own(
        self, source: Path, key: str, end_s: float, given_up: Callable[[], bool]
    ) -> None:
        """Raises `TakenError`. What can't be looked at is left to the sending, which says why."""
        item = self._look(key, end_s, given_up).data.get("item")
        if isinstance(item, dict) and not _begins_with(source, item):
            raise TakenError

    def _look(self, key: str, end_s: float, given_up: Callable[[], bool]) -> _Reply:
        """What the server has under a key, as `item`."""
        look = {"fs": f"{self.remote.path()}/", "remote": key, "opt": _LOOK, "_config": _CONFIG}
        return _ask(self.address, "operations/stat", look, end_s, given_up)

    def _answers(self) -> bool:
        """False for a daemon that hangs itself; where the bucket does, it answers."""
        try:
            end_s = time.monotonic() + _CHEAPEST_TIMEOUT_S
            _ask(self.address, _CHEAPEST, {}, end_s, lambda: False)
        except (TimeoutError, _GoneError):
            return False
        return True

    def _start_again(self) -> Failure | None:
        """Returns why it could not be started."""
        if self.starts_again == _MOST_STARTS_AGAIN:
            often = self.starts_again + 1
            return failure(
                "tool_crashed", f"the rclone that sends results died or hung {often} times"
            )
        self.starts_again += 1
        self._running.close()
        try:
            self._running.enter_context(self._start(_AGAIN_TIMEOUT_S))
        except (HpsError, OSError) as error:
            text = f"the rclone that sends results died, and starts no more: {error}"
            return failure("tool_crashed", text)
        return None


@contextlib.contextmanager
def serve(
    remote: Remote, scratch: Path, binary: str, secrets: dict[str, str], guard: process.Guard
) -> Iterator[CopyDaemon]:
    """Keep a daemon running for the length of a `with` block. Raises `HpsError`."""
    address = scratch / "rc.sock"
    if len(os.fsencode(address)) > _MOST_ADDRESS_BYTES:
        hint = "name a shorter one in TMPDIR, such as /tmp"
        raise HpsError(f"the temporary folder has too long a path for a socket: {scratch}", hint)
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
    """The socket is there a moment before somebody listens."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(address)) == 0


def _arguments(binary: str, address: Path, remote: Remote) -> tuple[str, ...]:
    certificate = (f"--ca-cert={remote.ca_cert}",) if remote.ca_cert else ()
    return (
        binary,
        "rcd",
        f"--rc-addr=unix://{address}",
        "--rc-no-auth",
        "--retries=1",
        "--low-level-retries=2",
        "--contimeout=10s",
        # What came is looked at when it is sent.
        "--s3-no-head",
        # A journal grows, and rclone would hold as much of it in memory.
        "--buffer-size=0",
        *certificate,
    )


def _ask(
    address: Path,
    call: str,
    request: Mapping[str, object],
    end_s: float,
    given_up: Callable[[], bool],
) -> _Reply:
    """The daemon's answer.

    Raises `TimeoutError`, `InterruptedError` where `given_up`, and `_GoneError`. Closing the
    connection before the answer has come makes rclone cancel the copy.
    """
    connection = _UnixConnection(address, timeout=_AGAIN_TIMEOUT_S)
    try:
        text, kind = json.dumps(request), {"Content-Type": "application/json"}
        connection.request("POST", f"/{call}", text, kind)
        _wait(connection.sock, end_s, given_up)
        response = connection.getresponse()
        return _answer(response.status, response.read(_ANSWER_BYTES))
    except (TimeoutError, InterruptedError):
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _GoneError from error
    finally:
        connection.close()


def _wait(connection: socket.socket, end_s: float, given_up: Callable[[], bool]) -> None:
    """Return once there is something to read."""
    while not select.select([connection], [], [], _POLL_S)[0]:
        if time.monotonic() >= end_s:
            raise TimeoutError
        if given_up():
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
    """Why what the server has is not this file; a checksum that it does not tell is none."""
    size_bytes, told_md5 = _size_and_md5(item)
    here_bytes = source.stat().st_size
    md5 = _md5(source, here_bytes)
    if size_bytes == here_bytes and told_md5 in {"", md5}:
        return None
    came = f"{size_bytes} bytes with the md5 {told_md5}"
    return failure("corrupted", f"the bucket has {came}, not {here_bytes} bytes with {md5}")


def _begins_with(source: Path, item: object) -> bool:
    """True where what the server has is how this file begins: it was sent when that was shorter."""
    size_bytes, told_md5 = _size_and_md5(item)
    if not isinstance(size_bytes, int) or size_bytes > source.stat().st_size:
        return False
    return told_md5 in {"", _md5(source, size_bytes)}


def _size_and_md5(item: object) -> tuple[object, object]:
    found = item if isinstance(item, dict) else {}
    hashes = found.get("Hashes")
    return found.get("Size"), (hashes.get("md5") if isinstance(hashes, dict) else None) or ""


def _md5(path: Path, first_bytes: int) -> str:
    """Of so many bytes at the beginning of a file."""
    digest, left_bytes = hashlib.md5(usedforsecurity=False), first_bytes
    with path.open("rb") as stream:
        while block := stream.read(min(left_bytes, _BLOCK_BYTES)):
            digest.update(block)
            left_bytes -= len(block)
    return digest.hexdigest()
