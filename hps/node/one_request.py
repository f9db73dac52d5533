"""One HTTP request, straight to its host, bounded in time and size. Every outcome is a value."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from hps.node.reading import describe

MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask. `answer_timeout_s` is for sending and the whole answer, after connecting."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_timeout_s: float
    answer_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer as it came. `content_type` in lower case."""

    status_code: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """No whole answer came, and why."""

    reason: str


def exchange(request: Request) -> Raw | NoAnswer:
    """Send the request once. Proxies in the environment are not used; redirects not followed."""
    try:
        parts = urlsplit(request.url)
        port = parts.port or 80
    except ValueError as error:
        return NoAnswer(reason=f"the address cannot be read: {describe(error)}")
    if parts.scheme != "http" or not parts.hostname:
        return NoAnswer(reason="the address is not one of http://host")
    timeout_s = request.connect_timeout_s
    with closing(http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)) as connection:
        return _connected(connection, request, parts)


def _connected(
    connection: http.client.HTTPConnection, request: Request, parts: SplitResult
) -> Raw | NoAnswer:
    try:
        connection.connect()
    except TimeoutError:
        return NoAnswer(reason=f"no connection in {request.connect_timeout_s:g} s")
    except (OSError, UnicodeError) as error:
        return NoAnswer(reason=f"no connection: {describe(error)}")
    too_slow = threading.Event()
    try:
        with _deadline(connection, request.answer_timeout_s, too_slow):
            raw = _answer(connection, request, parts)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raw = NoAnswer(reason=f"no answer: {describe(error)}")
    # A connection that was cut can look like an answer that ended early.
    late = NoAnswer(reason=f"no answer in {request.answer_timeout_s:g} s")
    return late if too_slow.is_set() else raw


def _answer(
    connection: http.client.HTTPConnection, request: Request, parts: SplitResult
) -> Raw | NoAnswer:
    path = parts.path or "/"
    connection.request(request.method, path, body=request.body, headers=dict(request.headers))
    with connection.getresponse() as response:
        announced = response.length
        body = response.read(MAX_BODY_BYTES + 1)
        content_type = (response.getheader("Content-Type") or "").lower()
    if len(body) > MAX_BODY_BYTES:
        return NoAnswer(reason=f"an answer of more than {MAX_BODY_BYTES} bytes")
    if announced is not None and len(body) < announced:
        return NoAnswer(reason=f"an answer that broke off after {len(body)} of {announced} bytes")
    return Raw(status_code=response.status, content_type=content_type, body=body)


@contextmanager
def _deadline(
    connection: http.client.HTTPConnection, timeout_s: float, too_slow: threading.Event
) -> Iterator[None]:
    """Cut the connection after `timeout_s`.

    A socket's own time-out starts again with every byte: a slow server could hold us for good.
    """
    opened = connection.sock
    # A little more than the deadline, so that it is the deadline that cuts.
    opened.settimeout(timeout_s + 1)

    def cut() -> None:
        too_slow.set()
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
