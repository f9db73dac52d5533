"""The client of SaladCloud's API: one request after the other, paced, bounded, errors for people.

Nothing is ever created twice: what creates is repeated after 429 alone, which says that it was not
done. The key stands in a header, and in nothing that is printed.
"""

from __future__ import annotations

import json
import random
import re
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from hps.errors import EXIT_OPERATION_FAILED, EXIT_USAGE, HpsError, printable
from hps.redaction import Scrubber
from hps.source import web
from hps.source.address import web_address

URL_ENV, KEY_ENV = "SALAD_API_URL", "SALAD_API_KEY"
DEFAULT_URL = "https://api.salad.com/api/public"
# SaladCloud's own limit.
REQUESTS_PER_MINUTE = 240
# A second more, for requests don't arrive as evenly as they are sent.
_MINUTE_S = 61.0
# A list of 100 groups, each with its whole environment, has a few MiB.
_MOST_BYTES = 32 * 1024**2
_SHOWN_CHARACTERS = 300
_TOO_MANY = 429
_CONFLICT = 409
_REPEATED = frozenset({"GET", "DELETE"})
_MOST_TRIES = 5
_MOST_TRIES_TOO_MANY = 9
_LONGEST_PAUSE_S = 30.0
_KEY = re.compile(r"[!-~]{1,1000}")
_HINTS: Mapping[int, str] = {
    400: "SaladCloud refuses it; was a group of this name there before, set HPS_FLEET to another",
    401: f"{KEY_ENV} has a key that SaladCloud doesn't take; the portal makes another one",
    403: f"may the key in {KEY_ENV} do this in that organization, and is it of that one?",
    404: "are the names of the organization and the project right?",
    _TOO_MANY: "others use the same key at once, or too often; try again in a few minutes",
}
_READ_HINT = "try again later"
_HINT = f"{_READ_HINT}; what was asked for may have been done, or not"
_MOVED = f"redirects are not followed: is the address in {URL_ENV} right?"

Json = Mapping[str, object]


class ApiError(HpsError):
    """A request that failed. `status` is that of HTTP, None where no whole answer came."""

    def __init__(self, message: str, hint: str, status: int | None) -> None:
        super().__init__(message, hint)
        self.status = status
        # What SaladCloud refuses is for a person to mend; what it fails at is not.
        self.exit_code = EXIT_OPERATION_FAILED if self.is_uncertain else EXIT_USAGE

    @property
    def is_uncertain(self) -> bool:
        """It may have been done all the same."""
        return self.status is None or self.status >= 500

    @property
    def is_conflict(self) -> bool:
        return self.status == _CONFLICT


@dataclass(frozen=True, slots=True, kw_only=True)
class SaladClient:
    """Asks the API at `base_url`. `timeout_s` is for one whole answer, `patience_s` for all tries.

    Proxies in this process' environment are used, but for a server on this machine.
    """

    base_url: str
    key: str = field(repr=False)
    timeout_s: float = 30.0
    patience_s: float = 150.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _sent_s: deque[float] = field(default_factory=lambda: deque(maxlen=REQUESTS_PER_MINUTE))

    @classmethod
    def open(cls, env: Mapping[str, str]) -> SaladClient:
        """The client for this environment. Raises `HpsError` where its key or address is wrong."""
        key = env.get(KEY_ENV, "").strip()
        if not key:
            hint = "make a key in SaladCloud's portal, and set it in this variable alone"
            raise HpsError(f"{KEY_ENV} is not set", hint)
        if not _KEY.fullmatch(key):
            hint = "set the key alone, without blanks or quotes"
            raise HpsError(f"{KEY_ENV} has characters that no key has", hint)
        try:
            url = web_address(env.get(URL_ENV) or DEFAULT_URL).url.rstrip("/")
        except HpsError as error:
            raise HpsError(f"{URL_ENV}: {error.message}", f"such as {DEFAULT_URL}") from None
        if not url.startswith(("https://", "http://")):
            raise HpsError(f"{URL_ENV} is no web address", f"such as {DEFAULT_URL}")
        return cls(base_url=url, key=key)

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """The JSON object that answers; empty where nothing is. Raises `ApiError`.

        429 is waited out for any method; no answer, and 5xx, only where a repetition is harmless.
        """
        ends_s = self.clock() + self.patience_s
        tries = 1
        while isinstance(found := self._once(method, path, body), ApiError):
            pause_s = _pause_s(found, method, tries)
            if pause_s is None or self.clock() + pause_s > ends_s:
                raise found
            self.sleep(pause_s)
            tries += 1
        return found

    def _once(self, method: str, path: str, body: Json | None) -> Json | ApiError:
        """One request, answered or not."""
        self._pace()
        name = f"SaladCloud ({method} {_short(path)})"
        request = self._request(method, path, body)
        try:
            answer = web.within(
                self.timeout_s,
                name,
                lambda: web.send(request, name, self.timeout_s, _MOST_BYTES),
            )
        except HpsError as error:
            return ApiError(self._clean(error.message), error.hint or _hint(method), None)
        return self._read(name, method, answer)

    def _request(self, method: str, path: str, body: Json | None) -> urllib.request.Request:
        headers = {
            "Salad-Api-Key": self.key,
            "Accept": "application/json, application/problem+json",
            "User-Agent": "hps",
            **({} if body is None else {"Content-Type": "application/json"}),
        }
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.base_url}{path}"
        return urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - https

    def _pace(self) -> None:
        """Wait until fewer than `REQUESTS_PER_MINUTE` were sent within the last minute."""
        if len(self._sent_s) == self._sent_s.maxlen:
            wait_s = self._sent_s[0] + _MINUTE_S - self.clock()
            if wait_s > 0:
                self.sleep(wait_s)
        self._sent_s.append(self.clock())

    def _read(self, name: str, method: str, answer: web.WebAnswer) -> Json | ApiError:
        status, content = answer.status, _content(answer.body)
        if not 200 <= status < 300:
            what = content if isinstance(content, str) else _problem(content)
            code = printable(f"{status} {answer.reason}".strip(), _SHOWN_CHARACTERS)
            hint = (
                _MOVED
                if 300 <= status < 400
                else _HINTS.get(status, _hint(method) * (status >= 500))
            )
            return ApiError(self._clean(f"{name}: {code}" + (what and f": {what}")), hint, status)
        if method == "DELETE" or not isinstance(content, str):
            return {} if isinstance(content, str) else content
        # What was asked for may have been done: as without an answer.
        return ApiError(f"{name}: {status} with {content}", _hint(method), None)

    def _clean(self, text: str) -> str:
        """On one line, cut, without the key."""
        shown = Scrubber({KEY_ENV: self.key}).text(text)
        return printable(" ".join(shown.split()), 2 * _SHOWN_CHARACTERS)


def _hint(method: str) -> str:
    return _READ_HINT if method == "GET" else _HINT


def _pause_s(error: ApiError, method: str, tries: int) -> float | None:
    """How long to wait before the next try, longer each time and never alike; None: give up."""
    if error.status == _TOO_MANY:
        most = _MOST_TRIES_TOO_MANY
    elif error.is_uncertain and method in _REPEATED:
        most = _MOST_TRIES
    else:
        return None
    longest_s = min(_LONGEST_PAUSE_S, 2.0 ** (tries - 1))
    pause_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return pause_s if tries < most else None


def _short(path: str) -> str:
    """A path without the names of the organization and the project."""
    return re.sub(r"^/organizations/[^/]+/(projects/[^/]+/)?", "", path)


def _content(body: bytes) -> Json | str:
    """The JSON object, empty for an empty body; else text on what came instead."""
    if len(body) > _MOST_BYTES:
        return f"more than {_MOST_BYTES // 1024**2} MiB"
    if not body.strip():
        return {}
    if body.lstrip()[:1] == b"<":
        return "HTML instead of JSON"
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "no JSON"
    return content if isinstance(content, dict) else "no JSON object"


def _problem(content: Json) -> str:
    """What an error says of itself, and of each field that is wrong."""
    errors = content.get("errors")
    fields = errors.items() if isinstance(errors, Mapping) else ()
    texts = [content.get("detail") or content.get("title") or ""]
    texts += [f"{name}: {why}" for name, why in fields]
    return "; ".join(" ".join(str(text).split()) for text in texts if text)[:_SHOWN_CHARACTERS]


# -------------------------------------------------------------------------------------------------
# Reading answers: what comes from the API is input like any other.


def items(answer: Json, name: str) -> tuple[Json, ...]:
    """The objects of a list. Raises `ApiError`."""
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        _refuse(name)
    return tuple(found)


def inside(answer: Json, name: str) -> Json:
    """An object within another; empty where it isn't there. Raises `ApiError`."""
    found = answer.get(name)
    if found is not None and not isinstance(found, dict):
        _refuse(name)
    return found or {}


def text(answer: Json, name: str) -> str:
    """A text on one line. Raises `ApiError`."""
    found = answer.get(name)
    if not isinstance(found, str):
        _refuse(name)
    return printable(found, 2048)


def number(answer: Json, name: str) -> int:
    """A whole number that is not negative. Raises `ApiError`."""
    found = answer.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        _refuse(name)
    return found


def _refuse(name: str) -> NoReturn:
    raise ApiError(f"SaladCloud: an answer has no usable '{name}'", _READ_HINT, None)
