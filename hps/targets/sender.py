"""Sends the results to the bucket: now and then between operations, and at the end."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import math
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.errors import HpsError
from hps.model import Failure, Target
from hps.process import process
from hps.process.process import Stop
from hps.tools.rclone.command import child_env
from hps.tools.rclone.errors import explain
from hps.tools.rclone.remote import Remote, remote_of
from hps.units import format_time

# -------------------------------------------------------------------------------------------------
# A daemon: an rclone that copies files to a bucket on request, through a Unix socket.
#
# Starting a process for each copy would delay the next operation, or disturb it; the daemon answers
# in milliseconds and is idle while an operation is measured. Where it has died, or does not answer
# at all, another is started, a few times. API: https://rclone.org/rc/#operations-copyfile

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


class ForeignObjectError(Exception):
    """The object of this key was sent by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """The daemon's answer; `failure` is its error."""

    failure: Failure | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class CopyDaemon:
    """A running daemon for one remote. `restarts` counts how often it had died, or hung."""

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
    certificate = (f"--ca-cert={remote.ca_cert}",) if remote.ca_cert else ()
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
        *certificate,
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


# -------------------------------------------------------------------------------------------------

JOURNAL = ".jsonl"
# A start on another host resumes a run whose journal in the bucket is older, for that has ended:
# see `hps.run.resume`.
SILENT_S = 15 * 60.0

_LAST_TRIES = 3
# The share of a run's time that sending may use, beyond what is saved at the beginning.
_SHARE = 1 / 20
_SAVED_AT_FIRST_S = 5.0
_MOST_SAVED_S = 10.0
_LEAST_SAVED_S = 1.0
# How often it is looked, within `renew_s`, whether a journal is to be renewed.
_LOOKS = 10
# When the run wants to store a result, a renewal has this long to end before it is cut off.
_CUT_OFF_S = 1.0


@dataclass(slots=True)
class BucketCopy:
    """Sends the files of one run to `<folder>/<name>` in the results' target.

    Between operations sending uses at most a twentieth of the time: that is saved up, and what has
    been saved is the time-out of the next sending. After one without an answer in its time, the
    next waits until twice as much is saved. Once `stop` is set, all sending ends `stopped_s` later.

    Within a long operation the journal is renewed after `renew_s`. It is a third of `SILENT_S`:
    where one renewal fails, there is time for another before the run seems dead, and more of them
    would only disturb what is measured. Each is one small PUT and two HEADs, for which time is
    saved up as for any other sending.

    Two starts may resume the same run, each unseen by the other. Neither overwrites what the other
    sent: where this journal does not begin with that in the bucket, everything of the run that is
    sent from here gets `beside` into its names.
    """

    daemon: CopyDaemon
    folder: str
    report: Callable[[str, str], None]
    interval_s: float = 5.0
    timeout_s: float = 30.0
    renew_s: float = SILENT_S / 3
    stop: Stop | None = None
    stopped_s: float = 4.0
    beside: str = field(default_factory=lambda: f".{secrets.token_hex(4)}")
    _aside: set[str] = field(default_factory=set)
    _doubtful: set[str] = field(default_factory=set)
    _next_s: float = field(default_factory=time.monotonic)
    _saved_s: float = _SAVED_AT_FIRST_S
    _saved_at_s: float = field(default_factory=time.monotonic)
    _needed_s: float = _LEAST_SAVED_S
    _stopped_at_s: float = math.inf
    # For sending, and for writing what is sent.
    _turn: threading.RLock = field(default_factory=threading.RLock)
    _tried_at_s: float = field(default_factory=time.monotonic)
    _paused_at_s: float = math.inf

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """For the length of a `with` block nothing is sent but by the block itself.

        A renewal that is under way is cut off, so that a bucket that hangs delays nothing.
        """
        self._paused_at_s = time.monotonic()
        with self._turn:
            self._paused_at_s = math.inf
            yield

    @contextlib.contextmanager
    def renewed(self, path: Path) -> Iterator[None]:
        """For the length of a `with` block, the copy of a journal shows that its run is at work.

        Others judge by its time, which is that of the last line: so it is set to now, then sent.
        """
        over = threading.Event()
        renews = threading.Thread(
            target=self._renew_now_and_then, args=(path, over), name="renew", daemon=True
        )
        renews.start()
        try:
            yield
        finally:
            over.set()
            self._paused_at_s = time.monotonic()
            renews.join()
            self._paused_at_s = math.inf

    def _renew_now_and_then(self, path: Path, over: threading.Event) -> None:
        while not over.wait(self.renew_s / _LOOKS):
            # Not tried while the run itself sends, which renews the journal as well.
            if self._turn.acquire(blocking=False):
                try:
                    self._renew(path)
                finally:
                    self._turn.release()

    def _renew(self, path: Path) -> None:
        start_s = time.monotonic()
        if start_s < self._tried_at_s + self.renew_s or not self._has_saved(start_s):
            return
        self._tried_at_s = start_s
        try:
            if path.stat().st_size == 0:
                return  # a run begins with its first line
            os.utime(path)
            self._send_on_savings(path, start_s)
        except OSError as error:  # somebody has removed it: the run restores it
            self.report("results_delayed", str(error))

    def send_now_and_then(self, path: Path) -> None:
        """Send a file where enough time is saved; a failure is an event, and delays it."""
        with self.paused():
            start_s = time.monotonic()
            if self._has_saved(start_s) and start_s >= self._next_s:
                self._send_on_savings(path, start_s)

    def _has_saved(self, now_s: float) -> bool:
        """True where enough time is saved for another sending."""
        saved_s = self._saved_s + (now_s - self._saved_at_s) * _SHARE
        self._saved_s, self._saved_at_s = min(saved_s, _MOST_SAVED_S), now_s
        return self._saved_s >= self._needed_s

    def _send_on_savings(self, path: Path, start_s: float) -> None:
        timeout_s = min(self._saved_s, self.timeout_s)
        error = self._send(path, start_s + timeout_s)
        took_s = time.monotonic() - start_s
        self._saved_s -= took_s
        if error and self._must_make_way():
            return  # the run itself sends it next
        hung = bool(error) and took_s >= timeout_s
        needed_s = 2 * (self._needed_s if hung else took_s)
        self._needed_s = min(max(needed_s, _LEAST_SAVED_S), _MOST_SAVED_S)
        self._next_s = start_s + took_s + self.interval_s
        if error:
            self.report("results_delayed", error)

    def send_all(
        self,
        paths: Sequence[Path],
        *,
        wait: Callable[[float], bool],
        most_s: float | None = None,
    ) -> str:
        """Send the files at the end, with a few tries each. Returns why any is missing, or nothing.

        `most_s` is how long all of it may take; None: each try has its own time-out. After a file
        that could not be sent the others have one try each. `wait` sleeps; it returns True once the
        run is stopped.
        """
        end_s = math.inf if most_s is None else time.monotonic() + most_s
        first = ""
        with self.paused():
            for path in paths:
                error = self._send_for_good(path, wait, end_s, tries=1 if first else _LAST_TRIES)
                first = first or error
        return first

    def _send_for_good(
        self, path: Path, wait: Callable[[float], bool], end_s: float, *, tries: int
    ) -> str:
        error = self._send(path, end_s)
        for attempt in range(1, tries):
            pause_s = 2.0**attempt
            if not error or time.monotonic() + pause_s >= end_s or wait(pause_s):
                return error
            error = self._send(path, end_s)
        return error

    def _send(self, path: Path, end_s: float) -> str:
        """Try once, until `end_s` at most. Returns why it failed; empty: it did not."""
        timeout_s = min(self.timeout_s, end_s - time.monotonic())
        if timeout_s <= 0 or self._is_cut_off():
            return "there was no time left to send it"
        self._tried_at_s = time.monotonic()
        started_again = self.daemon.restarts
        try:
            wrong = self._copy(path, timeout_s)
        except ForeignObjectError:
            taken = self._key(path)
            self._aside.add(path.stem)
            text = f"{taken} is what another start of this run stored, and is left alone"
            self.report("results_of_another_start", f"{text}; ours go to {self._key(path)}")
            remaining_s = max(0.0, end_s - time.monotonic())
            wrong = self._copy(path, min(self.timeout_s, remaining_s))
        if self.daemon.restarts > started_again:
            self.report("results_sender_restarted", "the rclone that sends results died, or hung")
        return wrong.reason if wrong else ""

    def _key(self, path: Path) -> str:
        aside = self.beside if path.stem in self._aside else ""
        return f"{self.folder}/{path.stem}{aside}{path.suffix}"

    def _copy(self, path: Path, timeout_s: float) -> Failure | None:
        """Copy a file; a journal only where the one in the bucket is an earlier state of it.

        Other files do not grow at their ends, so that nothing shows who sent them. A journal that
        arrived corrupted is ours, too.
        """
        key = self._key(path)
        own = path.suffix != JOURNAL or key in self._doubtful
        wrong = self.daemon.copy(
            path, key, timeout_s=timeout_s, is_cut_off=self._is_cut_off, own=own
        )
        if wrong is not None and wrong.code == "corrupted":
            self._doubtful.add(key)
        elif wrong is None:
            self._doubtful.discard(key)
        return wrong

    def _is_cut_off(self) -> bool:
        """True once a renewal must make way, and `stopped_s` after the stop was first seen."""
        if self._must_make_way():
            return True
        if self.stop is None or not self.stop.is_set():
            return False
        now_s = time.monotonic()
        self._stopped_at_s = min(self._stopped_at_s, now_s)
        return now_s >= self._stopped_at_s + self.stopped_s

    def _must_make_way(self) -> bool:
        return time.monotonic() >= self._paused_at_s + _CUT_OFF_S
