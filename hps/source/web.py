"""One file over https, with bounds: total time, size, and few redirects, which stay on https."""

from __future__ import annotations

import queue
import ssl
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TypeVar
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit

from hps.errors import HpsError, printable
from hps.process.temporary import SHOWN_CHARACTERS
from hps.source.address import WebAddress, is_loopback, web_address
from hps.spec.source import MAX_BYTES

TIMEOUT_S = 30.0
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"Accept": "text/plain, */*", "User-Agent": "hps"}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAnswer:
    """A server's answer. Of the body there is a byte more than was allowed, where it is longer."""

    status: int
    reason: str
    location: str
    body: bytes


class _Unprocessed(urllib.request.HTTPErrorProcessor):
    """Returns every answer: this module treats redirects and errors, not the library."""

    def http_response(
        self, request: urllib.request.Request, response: HTTPResponse
    ) -> HTTPResponse:
        return response

    https_response = http_response


def fetch(address: WebAddress, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """The file's bytes, at most 1 MiB and one. Raises `HpsError`.

    Proxies and `SSL_CERT_FILE` in this process' environment are followed.
    """
    return within(timeout_s, address.name, lambda: _follow(address, timeout_s))


def within(timeout_s: float, name: str, work: Callable[[], _T]) -> _T:
    """Do the work in a thread, and wait no longer than this for it. Raises `HpsError` after that.

    A socket's own time-out starts again with every byte, and looking up a name has none.
    """
    outcomes: queue.SimpleQueue[_T | Exception] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            outcomes.put(work())
        except Exception as error:
            outcomes.put(error)

    threading.Thread(target=attempt, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=timeout_s)
    except queue.Empty:
        hint = "is the host reachable from here, perhaps through a proxy (HTTPS_PROXY)?"
        raise HpsError(f"{name} was not read within {timeout_s:g} s", hint) from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _follow(address: WebAddress, timeout_s: float) -> bytes:
    current = address
    for _ in range(MAX_REDIRECTS + 1):
        answer = _get(current, timeout_s)
        if answer.status not in _REDIRECTS:
            return _body(current, answer)
        current = _redirected(current, answer.location)
    what = f"{address.name} redirects more than {MAX_REDIRECTS} times"
    raise HpsError(what, "give the address that it ends at")


def _get(address: WebAddress, timeout_s: float) -> WebAnswer:
    request = urllib.request.Request(address.url, headers=_HEADERS)  # noqa: S310 - http or https
    return send(request, address.name, timeout_s)


def send(
    request: urllib.request.Request, name: str, timeout_s: float, most_bytes: int = MAX_BYTES
) -> WebAnswer:
    """What a server answers, whatever its status; redirects are not followed. Raises `HpsError`.

    `timeout_s` is that of the socket, which each byte renews: see `within`.
    """
    try:
        with _opener(request.full_url).open(request, timeout=timeout_s) as response:
            return _read(response, most_bytes)
    except (OSError, HTTPException, UnicodeError) as error:
        failure = _no_answer(name, error)
    # Raised here, the error keeps neither the library's frames nor a socket that is open in them:
    # where a proxy refuses, Python before 3.11.4 leaves its socket to the garbage collector.
    raise failure


def _opener(url: str) -> urllib.request.OpenerDirector:
    # A server on this machine is never asked through a proxy.
    own = is_loopback(urlsplit(url).hostname or "")
    direct = (urllib.request.ProxyHandler({}),) if own else ()
    tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    return urllib.request.build_opener(_Unprocessed, tls, *direct)


def _read(response: HTTPResponse, most_bytes: int) -> WebAnswer:
    announced = response.length
    body = response.read(most_bytes + 1)
    if announced is not None and len(body) < min(announced, most_bytes + 1):
        raise ConnectionError(f"it broke off after {len(body)} of {announced} bytes")
    return WebAnswer(
        status=response.status,
        reason=response.reason,
        location=response.headers.get("Location", ""),
        body=body,
    )


def _redirected(current: WebAddress, location: str) -> WebAddress:
    try:
        found = web_address(urljoin(current.url, location))
    except (HpsError, ValueError) as error:
        why = error.message if isinstance(error, HpsError) else "the address cannot be read"
        hint = "give the address that it ends at"
        raise HpsError(f"{current.name} redirects to where nothing is read: {why}", hint) from None
    before, after = urlsplit(current.url), urlsplit(found.url)
    stays = before.scheme == "http" and before.hostname == after.hostname
    if after.scheme != "https" and not (after.scheme == "http" and stays):
        hint = "give an https address that it ends at"
        raise HpsError(f"{current.name} redirects away from https", hint)
    return found


def _body(address: WebAddress, answer: WebAnswer) -> bytes:
    if answer.status == 200:
        return answer.body
    hint = "check the address; does it open in a browser that is not signed in?"
    if answer.status in {401, 403, 407}:
        hint = "it is not public: put the file in the bucket (r2:…, s3:…) or into the image"
    message = printable(f"{answer.status} {answer.reason}".strip(), SHOWN_CHARACTERS)
    raise HpsError(f"{address.name} cannot be read: {message}", hint)


def _no_answer(name: str, error: Exception) -> HpsError:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names the file of the certificates that are trusted"
        message = cause.verify_message
        return HpsError(f"{name}: the certificate is not trusted: {message}", hint)
    message = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    hint = "is the host reachable from here, perhaps through a proxy (HTTPS_PROXY)?"
    why = printable(message, SHOWN_CHARACTERS) or type(cause).__name__
    return HpsError(f"{name} cannot be read: {why}", hint)
