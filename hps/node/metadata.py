"""The client of SaladCloud's metadata service. Every outcome is a value; nothing is raised.

Requests go straight to the service, never through a proxy: it refuses what was forwarded.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from hps.errors import describe

# -------------------------------------------------------------------------------------------------
# One HTTP request, straight to its host, bounded in time and size.

MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request. `answer_timeout_s` is for sending and the whole answer, after connecting."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_timeout_s: float
    answer_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer as it came. `content_type` in lower case."""

    status_code: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """Why no whole answer came."""

    reason: str


def exchange(request: Request) -> RawAnswer | NoAnswer:
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
) -> RawAnswer | NoAnswer:
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
    # A connection that was cut looks like an answer that ended early.
    late = NoAnswer(reason=f"no answer in {request.answer_timeout_s:g} s")
    return late if too_slow.is_set() else raw


def _answer(
    connection: http.client.HTTPConnection, request: Request, parts: SplitResult
) -> RawAnswer | NoAnswer:
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
    return RawAnswer(status_code=response.status, content_type=content_type, body=body)


@contextmanager
def _deadline(
    connection: http.client.HTTPConnection, timeout_s: float, too_slow: threading.Event
) -> Iterator[None]:
    """Cut the connection after `timeout_s`.

    A socket's own time-out starts again with every byte, so that a slow server could take for ever.
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


# -------------------------------------------------------------------------------------------------

DEFAULT_URL = "http://169.254.169.254"
URL_NAME = "HPS_METADATA_URL"
MAX_REASON_CHARACTERS = 1000
_TOO_MANY_REQUESTS = 429
_INT32 = range(-(2**31), 2**31)
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataAnswer:
    """The outcome of a request. `detail` is for a person; `status_code` is None without an answer.

    `body` is the JSON object of a success, empty where it has none.
    """

    ok: bool
    detail: str
    status_code: int | None = None
    body: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataClient:
    """Sends requests to the service at `base_url`. `answer_timeout_s` is for the whole answer.

    Without an answer, and after 429 and 5xx, there is another try after each of `back_offs_s`,
    unless `retry` is False. After any other answer there are none, nor once `sleep` returns True.
    """

    base_url: str = DEFAULT_URL
    connect_timeout_s: float = 2.0
    answer_timeout_s: float = 5.0
    retry: bool = True
    back_offs_s: tuple[float, ...] = (1.0, 2.0)
    sleep: Callable[[float], object] = time.sleep

    def status(self) -> MetadataAnswer:
        """Whether the instance is started and ready: `body` has both as booleans."""
        answer = self._ask("GET", "/v1/status", expect=200)
        return _require(answer, {"ready": bool, "started": bool})

    def reallocate(self, reason: str) -> MetadataAnswer:
        """Ask for another node. Only the first 1,000 characters of `reason` are sent."""
        return self._ask("POST", "/v1/reallocate", {"reason": trimmed(reason)}, expect=204)

    def deletion_cost(self) -> MetadataAnswer:
        """What deleting this instance costs, relative to others: `body["deletion_cost"]`."""
        answer = self._ask("GET", "/v1/deletion-cost", expect=200)
        return _require(answer, {"deletion_cost": int})

    def set_deletion_cost(self, cost: int) -> MetadataAnswer:
        """Set what deleting this instance costs: the lowest go first. A signed 32-bit number."""
        if cost not in _INT32:
            return MetadataAnswer(
                ok=False, detail=f"a deletion cost of {cost} does not fit 32 bits"
            )
        return self._ask("PUT", "/v1/deletion-cost", {"deletion_cost": cost}, expect=204)

    def quick(self, timeout_s: float) -> MetadataClient:
        """The same client with one try, and `timeout_s` each to connect and to answer."""
        return replace(self, connect_timeout_s=timeout_s, answer_timeout_s=timeout_s, retry=False)

    def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, expect: int
    ) -> MetadataAnswer:
        request = Request(
            url=self.base_url.rstrip("/") + path,
            method=method,
            headers=_headers(body),
            body=None if body is None else json.dumps(body).encode(),
            connect_timeout_s=self.connect_timeout_s,
            answer_timeout_s=self.answer_timeout_s,
        )
        answer = _read(exchange(request), expect)
        for back_off_s in self.back_offs_s if self.retry else ():
            if not _worth_another_try(answer) or self.sleep(back_off_s) is True:
                break
            answer = _read(exchange(request), expect)
        return answer


def client_from(env: Mapping[str, str]) -> MetadataClient:
    """The client of the service at `HPS_METADATA_URL`, else of SaladCloud's own."""
    return MetadataClient(base_url=env.get(URL_NAME) or DEFAULT_URL)


def trimmed(reason: str) -> str:
    """`reason` as the service accepts it: 1 to 1,000 characters."""
    text = reason.strip().encode(errors="replace").decode() or "no reason given"
    whole = len(text) <= MAX_REASON_CHARACTERS
    return text if whole else f"{text[: MAX_REASON_CHARACTERS - 1]}…"


def _headers(body: Mapping[str, object] | None) -> dict[str, str]:
    json_type = {} if body is None else {"Content-Type": "application/json"}
    return {"Metadata": "true", "Accept": "application/json, application/problem+json"} | json_type


def _worth_another_try(answer: MetadataAnswer) -> bool:
    code = answer.status_code
    return not answer.ok and (code is None or code == _TOO_MANY_REQUESTS or code >= 500)


def _read(raw: RawAnswer | NoAnswer, expect: int) -> MetadataAnswer:
    if isinstance(raw, NoAnswer):
        return MetadataAnswer(ok=False, detail=raw.reason)
    code, content = raw.status_code, _content(raw)
    if code != expect:
        problem = content if isinstance(content, str) else _problem(content)
        name = http.client.responses.get(code, "")
        detail = f"answered {code} {name}".rstrip() + (f": {problem}" if problem else "")
        return MetadataAnswer(ok=False, detail=detail, status_code=code)
    if isinstance(content, str):
        return MetadataAnswer(ok=False, detail=f"answered {code}: {content}", status_code=code)
    return MetadataAnswer(ok=True, detail=f"answered {code}", status_code=code, body=content)


def _content(raw: RawAnswer) -> Mapping[str, object] | str:
    """The JSON object, empty for an empty body; else text on what came instead."""
    if not raw.body.strip():
        return {}
    if raw.body.lstrip()[:1] == b"<" or "html" in raw.content_type:
        return "HTML instead of JSON"
    try:
        content = json.loads(raw.body)
    except (ValueError, RecursionError):
        return "not JSON"
    return content if isinstance(content, dict) else "not a JSON object"


def _problem(content: Mapping[str, object]) -> str:
    """The code and detail of an error, on one line, at most 300 characters."""
    texts = [content[key] for key in ("code", "detail", "title") if key in content]
    line = ", ".join(" ".join(str(text).split()) for text in texts)
    return "".join(character for character in line if character.isprintable())[:300]


def _require(answer: MetadataAnswer, types: Mapping[str, type]) -> MetadataAnswer:
    """The answer; a failure where it is a success without these fields of these types."""
    # By exact type: to Python True is an int.
    wrong = [name for name, kind in types.items() if type(answer.body.get(name)) is not kind]
    if not answer.ok or not wrong:
        return answer
    detail = f"{answer.detail} without a usable {', '.join(wrong)}"
    return MetadataAnswer(ok=False, detail=detail, status_code=answer.status_code)
