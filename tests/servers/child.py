"""Server programs: started, waited for until they answer, and always stopped."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from re import Match, Pattern
from urllib.parse import urlsplit

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
_ANSWER_TIMEOUT_S = 10.0


class ServerStartError(RuntimeError):
    """A server program ended, or did not answer in time; the text has the end of its output."""


class Child:
    """A running server program, and the file that its output goes to."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def output(self) -> str:
        """What the program has written so far, standard output and error together."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for_output(self, pattern: Pattern[str]) -> Match[str]:
        """The first match in the output. Raises `ServerStartError`."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while (match := pattern.search(self.output())) is None:
            self._check(deadline_s)
        return match

    def wait_for_answer(self, endpoint: str, ca_cert: Path | None = None) -> None:
        """Return once `endpoint` gives any HTTP response. Raises `ServerStartError`."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not _answers(endpoint, ca_cert):
            self._check(deadline_s)

    def _check(self, deadline_s: float) -> None:
        ended = self._process.poll() is not None
        if ended or time.monotonic() > deadline_s:
            state = f"ended with {self._process.returncode}" if ended else "did not answer in time"
            raise ServerStartError(f"{self._process.args!r} {state}:\n{self.output()[-2000:]}")
        time.sleep(POLL_S)


@contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> Iterator[Child]:
    """Run a server for as long as the context is open; its output goes to the file `log`.

    It inherits the file descriptors `pass_fds` and no others.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
        ) as process,
    ):
        try:
            yield Child(process, log)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)


def _answers(endpoint: str, ca_cert: Path | None) -> bool:
    try:
        ask(endpoint, "GET", "/", ca_cert=ca_cert)
    except (OSError, HTTPException):
        return False
    return True


def ask(
    endpoint: str,
    method: str,
    target: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    ca_cert: Path | None = None,
) -> tuple[int, bytes]:
    """One request over a connection of its own: the status and the whole body of the response.

    `ca_cert` is what TLS trusts. Raises `OSError` and `HTTPException`.
    """
    with closing(_connection(endpoint, ca_cert)) as connection:
        connection.request(method, target, body, headers or {})
        with connection.getresponse() as response:
            return response.status, response.read()


def _connection(endpoint: str, ca_cert: Path | None) -> HTTPConnection:
    url = urlsplit(endpoint)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=ca_cert)
        return HTTPSConnection(
            url.hostname or "", url.port, timeout=_ANSWER_TIMEOUT_S, context=context
        )
    return HTTPConnection(url.hostname or "", url.port, timeout=_ANSWER_TIMEOUT_S)
