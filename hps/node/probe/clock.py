"""The clock of a server, closer than the whole seconds that it tells."""

from __future__ import annotations

import http.client
import math
import os
import queue
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlsplit

from hps.catalog.providers import address_of
from hps.model import Target
from hps.node.proxy import proxy_for

# Spread over more than a second, so that the server's second ends between two of them.
_ANSWERS, _PAUSE_S = 12, 0.1
_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerClock:
    """How far a server's clock is ahead of this machine's, and how much that may be off."""

    offset_s: float
    error_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedAnswer:
    """A date in whole seconds, cut off, and this machine's time before and after it was told."""

    date_s: float
    sent_s: float
    received_s: float


def find_clock(target: Target, *, timeout_s: float) -> ServerClock | None:
    """Ask for the date several times, without keys. Never raises.

    None where there is no answer, and where a proxy is on the way.

    A thread that is left by itself does so, for an answer may come very slowly.
    """
    found: queue.SimpleQueue[ServerClock | None] = queue.SimpleQueue()

    def run() -> None:
        found.put(_find(target))

    threading.Thread(target=run, name=f"clock of {target.name}", daemon=True).start()
    with suppress(queue.Empty):
        return found.get(timeout=timeout_s)
    return None


def combine(answers: list[DatedAnswer]) -> ServerClock | None:
    """What the answers leave possible: each date was right, and cut off, while it was on its way.

    Several servers behind one name may contradict each other by some time, which is then the error.
    """
    if not answers:
        return None
    low_s = max(one.date_s - one.received_s for one in answers)
    high_s = min(one.date_s + 1 - one.sent_s for one in answers)
    return ServerClock(offset_s=(low_s + high_s) / 2, error_s=abs(high_s - low_s) / 2)


def _find(target: Target) -> ServerClock | None:
    url = urlsplit(f"{str(address_of(target)).rstrip('/')}/{quote(target.bucket)}")
    if proxy_for(url.geturl(), os.environ):
        return None  # it may answer later, or by itself
    answers: list[DatedAnswer] = []
    with suppress(OSError, ValueError, http.client.HTTPException):
        place, port = str(url.hostname), url.port
        context = ssl.create_default_context(cafile=target.ca_cert)
        connection = (
            http.client.HTTPSConnection(place, port, timeout=_ANSWER_TIMEOUT_S, context=context)
            if url.scheme == "https"
            else http.client.HTTPConnection(place, port, timeout=_ANSWER_TIMEOUT_S)
        )
        with closing(connection):
            answers.extend(_answers(connection, url.path))
    return combine(answers)


def _answers(connection: http.client.HTTPConnection, path: str) -> Iterator[DatedAnswer]:
    for _ in range(_ANSWERS):
        if connection.sock is None:
            connection.connect()  # its time isn't that of the answer
        sent_s = time.time()
        connection.request("HEAD", path)
        with connection.getresponse() as answer:
            received_s = time.time()
            date = answer.headers.get("Date", "")
        date_s = parsedate_to_datetime(date).timestamp()
        if math.isfinite(date_s):
            yield DatedAnswer(date_s=date_s, sent_s=sent_s, received_s=received_s)
        time.sleep(_PAUSE_S)
