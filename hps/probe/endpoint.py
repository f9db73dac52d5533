"""What an endpoint says to one that has no keys: its clock, and where the bucket is."""

from __future__ import annotations

import http.client
import os
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from hps.model import Target
from hps.node.proxy import proxy_for
from hps.targets import address_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The clock's offset in seconds, positive where the server's is ahead; the bucket's region."""

    clock_offset_s: float | None = None
    region: str = ""


NOTHING_HEARD = Heard()


class _Stay(urllib.request.HTTPRedirectHandler):
    """What a bucket elsewhere says is in the first answer."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask_beside(target: Target, *, timeout_s: float) -> Callable[[float], Heard]:
    """`ask`, in a thread that is left behind if need be: an answer may come drop by drop.

    The function returned waits so many seconds for what was heard.
    """
    answers: queue.SimpleQueue[Heard] = queue.SimpleQueue()

    def put() -> None:
        answers.put(ask(target, timeout_s=timeout_s))

    threading.Thread(target=put, name=f"ask {target.name}", daemon=True).start()

    def heard(wait_s: float) -> Heard:
        with suppress(queue.Empty):
            return answers.get(timeout=wait_s)
        return NOTHING_HEARD

    return heard


def ask(target: Target, *, timeout_s: float) -> Heard:
    """One HEAD of the bucket without keys; whatever the answer's status, its heads tell.

    Goes through the proxies that the environment names, as the tool does. Never raises.
    """
    url = f"{str(address_of(target)).rstrip('/')}/{quote(target.bucket)}"
    try:
        context = ssl.create_default_context(cafile=target.ca_cert)
        # Python would ask a proxy for what is on this machine, and the tool would not.
        direct = () if proxy_for(url, os.environ) else (urllib.request.ProxyHandler({}),)
        opener = urllib.request.build_opener(
            _Stay(), urllib.request.HTTPSHandler(context=context), *direct
        )
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http or https, checked
        sent_s = time.time()
        heads = _heads(opener, request, timeout_s)
    except (OSError, ValueError, ssl.SSLError, http.client.HTTPException):
        return NOTHING_HEARD
    return _read(heads, (sent_s + time.time()) / 2)


def _heads(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float
) -> Message:
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            heads: Message = answer.headers
            return heads
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.headers


def _read(heads: Message, now_s: float) -> Heard:
    try:
        # A date has whole seconds, cut off.
        offset_s = parsedate_to_datetime(heads.get("Date", "")).timestamp() + 0.5 - now_s
    except (TypeError, ValueError, OverflowError):
        offset_s = None
    region = heads.get("x-amz-bucket-region", "")
    known = region.replace("-", "").isalnum() and len(region) <= 64
    return Heard(clock_offset_s=offset_s, region=region if known else "")
