"""Checks a target before anything is measured: an object is written, read, listed and deleted.

The calls are those that a run makes, in the run's own folder, and nothing of them remains. So a
wrong key, a missing right, or a port that refuses is found in the first second, with whose mistake
it is.
"""

from __future__ import annotations

import http.client
import os
import queue
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from hps.catalog.failures import failure, of_system
from hps.catalog.providers import address_of, owner_of
from hps.model import Failure, Target
from hps.node.probe.checked import TargetCheck, TriedCall
from hps.node.proxy import proxy_for
from hps.process.stop import NEVER
from hps.results.record import reason_fields
from hps.run_folder import OwnFolder
from hps.targets.bucket import Link
from hps.tools.client import ClientCall

# -------------------------------------------------------------------------------------------------
# What an endpoint answers without keys: its clock, and where the bucket is.


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAnswer:
    """The clock's offset in seconds, positive where the server's is ahead; the bucket's region.

    `to_https`: the server redirects plain HTTP to HTTPS.
    """

    clock_offset_s: float | None = None
    region: str = ""
    to_https: bool = False


NO_ENDPOINT_ANSWER = EndpointAnswer()


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: where a bucket is elsewhere, the first answer names its region."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask_in_thread(target: Target, *, timeout_s: float) -> Callable[[float], EndpointAnswer]:
    """Begin `ask` in a thread, which may outlive this: an answer may come very slowly.

    The function returned waits so many seconds for the answer.
    """
    answers: queue.SimpleQueue[EndpointAnswer] = queue.SimpleQueue()

    def run() -> None:
        answers.put(ask(target, timeout_s=timeout_s))

    threading.Thread(target=run, name=f"ask {target.name}", daemon=True).start()

    def wait(wait_s: float) -> EndpointAnswer:
        with suppress(queue.Empty):
            return answers.get(timeout=wait_s)
        return NO_ENDPOINT_ANSWER

    return wait


def ask(target: Target, *, timeout_s: float) -> EndpointAnswer:
    """Send a HEAD of the bucket without keys, and read the headers, whatever the status.

    Goes through the proxies that the environment names, as the tool does. Never raises.
    """
    url = f"{str(address_of(target)).rstrip('/')}/{quote(target.bucket)}"
    try:
        context = ssl.create_default_context(cafile=target.ca_cert)
        # Python would use a proxy for this machine's own addresses, and the tool would not.
        direct = () if proxy_for(url, os.environ) else (urllib.request.ProxyHandler({}),)
        opener = urllib.request.build_opener(
            _Stay(), urllib.request.HTTPSHandler(context=context), *direct
        )
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http or https, checked
        sent_s = time.time()
        heads = _heads(opener, request, timeout_s)
    except (OSError, ValueError, http.client.HTTPException):
        return NO_ENDPOINT_ANSWER
    answer = _read(heads, (sent_s + time.time()) / 2)
    sent_on = url.startswith("http:") and heads.get("Location", "").startswith("https:")
    return replace(answer, to_https=sent_on)


def speaks_tls(address: str, *, timeout_s: float) -> bool:
    """True where `host:port` completes a TLS handshake; no request is sent. Never raises."""
    place = urlsplit(f"//{address}")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((str(place.hostname), place.port or 80), timeout_s) as way:
            way.settimeout(timeout_s)
            with context.wrap_socket(way, server_hostname=place.hostname):
                return True
    except (OSError, ValueError):
        return False


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


def _read(heads: Message, now_s: float) -> EndpointAnswer:
    try:
        # A date has whole seconds, cut off.
        offset_s = parsedate_to_datetime(heads.get("Date", "")).timestamp() + 0.5 - now_s
    except (TypeError, ValueError, OverflowError):
        offset_s = None
    region = heads.get("x-amz-bucket-region", "")
    known = region.replace("-", "").isalnum() and len(region) <= 64
    return EndpointAnswer(clock_offset_s=offset_s, region=region if known else "")


# -------------------------------------------------------------------------------------------------

# The most seconds for the check of a target; targets are checked side by side.
MOST_S = 10.0
_MOST_AT_ONCE = 8
_PAUSE_S = 2.0
_NAME = "check"
_OBJECT = "object.bin"
_UPLOAD = "upload.bin"
_CONTENT_BYTES = 32
# Amazon's servers, and others alike, refuse a request whose time is further off.
_MOST_SKEW_S = 900.0
# After these a server may have the object all the same.
_PERHAPS_WRITTEN = {"timeout", "connection_lost", "stopped"}
_DELETE_S = 4.0
# The failures where the bucket's name is in the host, and the server expects it in the path.
_BY_STYLE = {"bad_endpoint", "bad_certificate", "no_such_bucket"}
_WRITE_HTTPS = "write https:// in the endpoint of the target"
_TLS_TIMEOUT_S = 2.0
# Variables that name other certificates than the machine's.
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_DENIALS = {"bad_credentials", "no_permission", "clock_skew"}
_OVER = failure("timeout", "the time for the check was over")
_CHANGED = failure("corrupted", "what was read is not what had been written")
_OTHER = failure(
    "bad_endpoint",
    "what was read is not what had been written: a login page or a console answers like this",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """For how long a target that can't be reached is tried again.

    `sleep` returns True once the run is stopped; `event` reports the wait.
    """

    most_s: float
    sleep: Callable[[float], bool]
    event: Callable[..., object] = field(repr=False)

    def again(self, checked: TargetCheck, until_s: float) -> bool:
        """True, after a pause, where another try may do better."""
        why, remaining_s = checked.failure, until_s - time.monotonic()
        if why is None or why.owner != "target" or remaining_s <= 0:
            return False
        fields = {**reason_fields(why), "seconds_left": round(remaining_s)}
        self.event("target_away", target=checked.target, **fields)
        return not self.sleep(min(_PAUSE_S, remaining_s))


@dataclass(slots=True, kw_only=True)
class _Check:
    """A check at work; what it has written is deleted even after `ends_s`."""

    link: Link
    multipart: bool
    ends_s: float
    tried: list[TriedCall] = field(default_factory=list)
    over: bool = False

    def run(self) -> None:
        """Try all calls that make sense after those before."""
        written = self.link.scratch / _OBJECT
        written.write_bytes(os.urandom(_CONTENT_BYTES))
        key = f"{self.link.key}/{_OBJECT}"
        listed = False
        wrote = self._try("write", self.link.put(str(written), key))
        if wrote is None or wrote.code == "no_permission":
            listed = self._try("list", self.link.list_names()) is None
        if wrote is None:
            self._read(written, key, listed=listed)
        if wrote is None and self.multipart and self.link.keeps_uploads:
            self._begin_and_abort(written)
        if wrote is None or wrote.code in _PERHAPS_WRITTEN:
            self._delete(by_list=wrote is None and listed)

    def _delete(self, *, by_list: bool) -> None:
        """Delete also where the time is over, or the run was stopped: nothing may remain."""
        own = OwnFolder(self.link.key)
        call = self.link.delete(own) if by_list else self.link.delete_object(own, _OBJECT)
        self.ends_s = max(self.ends_s, time.monotonic() + _DELETE_S)
        self.link = replace(self.link, stop=NEVER)
        self._try("delete", call)

    def _read(self, written: Path, key: str, *, listed: bool) -> None:
        """Read by the list where the target can list: this takes fewer requests."""
        read = self._try("read", self.link.get_listed() if listed else self.link.get(key))
        out = self.link.scratch / f"{_NAME}.out"
        came = out.read_bytes()
        if read is None and came != written.read_bytes():
            why = _CHANGED if len(came) == _CONTENT_BYTES else _OTHER
            self.tried[-1] = replace(self.tried[-1], failure=why)

    def _begin_and_abort(self, file: Path) -> None:
        call = self.link.begin_and_abort(str(file), f"{self.link.key}/{_UPLOAD}")
        self._try("multipart", call)

    def _try(self, name: str, call: ClientCall) -> Failure | None:
        """Run a call. Returns why it failed.

        A target that has answered before, and is slow, is not at fault where the time is over.
        """
        start_s = time.monotonic()
        answered = any(one.failure is None for one in self.tried)
        if answered and start_s >= self.ends_s:
            self.over = True
            return _OVER
        timeout_s = max(0.1, self.ends_s - start_s)
        ended = self.link.run(call, timeout_s=timeout_s, name=_NAME, stop=self.link.stop)
        if answered and ended.exit.ended == "timeout":
            self.over = True
            return _OVER
        took_s = time.monotonic() - start_s
        self.tried.append(TriedCall(name=name, duration_s=took_s, failure=ended.failure))
        return ended.failure


def check(link: Link, target: Target, *, multipart: bool, ends_s: float) -> TargetCheck:
    """Try one target, in a folder that must be this check's own; at most ten requests.

    `ends_s` is when it ends at the latest (monotonic). Never raises for what the target is.
    """
    trying = _Check(link=link, multipart=multipart, ends_s=ends_s - _DELETE_S)
    wait_for_answer = ask_in_thread(target, timeout_s=max(0.1, ends_s - time.monotonic()))
    try:
        trying.run()
    except OSError as error:
        why = of_system(error, link.scratch)
        trying.tried.append(TriedCall(name="write", duration_s=0.0, failure=why))
    answer = wait_for_answer(max(0.0, ends_s - time.monotonic()))
    return TargetCheck(
        target=target.name,
        calls=tuple(explain_connection(_with_answer(one, answer), target) for one in trying.tried),
        clock_offset_s=answer.clock_offset_s,
        leftover=_find_leftover(trying),
        whole=not trying.over,
    )


def check_all(
    links: Mapping[str, tuple[Link, Target]],
    *,
    multipart: Collection[str],
    patient: Collection[str],
    waiting: Waiting,
) -> tuple[TargetCheck, ...]:
    """The targets side by side, each within `MOST_S`.

    `multipart` names the targets that uploads in parts go to, `patient` those that are tried again
    where they can't be reached.
    """

    def patiently(name: str) -> TargetCheck:
        link, target = links[name]
        apart = link.scratch / f"{_NAME}-{name}"
        apart.mkdir(exist_ok=True)
        own = waiting if name in patient else replace(waiting, most_s=0.0)
        return _patiently(replace(link, scratch=apart), target, own, multipart=name in multipart)

    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return tuple(pool.map(patiently, links))


def _patiently(link: Link, target: Target, waiting: Waiting, *, multipart: bool) -> TargetCheck:
    until_s = time.monotonic() + waiting.most_s
    while True:
        ends_s = time.monotonic() + MOST_S
        checked = check(link, target, multipart=multipart, ends_s=ends_s)
        if not waiting.again(checked, until_s):
            return checked


def _with_answer(tried: TriedCall, answer: EndpointAnswer) -> TriedCall:
    """The call; its failure may be explained by what the server answers without keys."""
    why = tried.failure
    if why is None:
        return tried
    if answer.to_https:
        text = f"{why.text}; the server sends those who come by plain HTTP on to HTTPS"
        return replace(tried, failure=failure("bad_endpoint", text, hint=_WRITE_HTTPS))
    offset_s = answer.clock_offset_s
    if why.code in _DENIALS and offset_s is not None and abs(offset_s) > _MOST_SKEW_S:
        ahead = "behind" if offset_s > 0 else "ahead"
        text = f"{why.text}; this machine's clock is {abs(offset_s):.0f} s {ahead}"
        return replace(tried, failure=failure("clock_skew", text))
    if why.code == "wrong_region" and answer.region:
        hint = f"the bucket is in another region: {answer.region}"
        return replace(tried, failure=replace(why, hint=hint))
    return tried


def explain_connection(tried: TriedCall, target: Target) -> TriedCall:
    """The call; its failure may be the connection's: a certificate, or plain HTTP to a TLS port.

    A wrong certificate for a provider's own host, where no other authority is set up, means that
    something on the way intercepts it. For any other host, or with a proxy, it is an operator's
    mistake.
    """
    why, address = tried.failure, str(address_of(target))
    proxy = proxy_for(address, os.environ)
    if why is None:
        return tried
    if why.code == "bad_certificate" and owner_of(address) is not None:
        set_up = target.ca_cert or proxy or set(_AUTHORITIES) & set(os.environ)
        if not set_up:
            return replace(tried, failure=failure("tls", why.text))
    if why.code in _BY_STYLE and target.force_path_style is False:
        hint = f"{why.hint}; or set force_path_style: true, so that the bucket stands in the path"
        return replace(tried, failure=replace(why, hint=hint))
    plain = why.code == "connection_lost" and address.startswith("http:")
    if plain and speaks_tls(proxy or urlsplit(address).netloc, timeout_s=_TLS_TIMEOUT_S):
        text = f"{why.text}; {proxy or address} speaks HTTPS, not HTTP"
        spoken = failure("bad_proxy", text) if proxy else failure("bad_endpoint", text)
        return replace(tried, failure=spoken)
    return tried


def _find_leftover(trying: _Check) -> str:
    went = {one.name: one.failure for one in trying.tried}
    wrote = went.get("write", _OVER)
    there = wrote is None or wrote.code in _PERHAPS_WRITTEN
    not_gone = (there and went.get("delete", _OVER) is not None) or went.get("multipart")
    return f"{trying.link.name}/" if not_gone else ""
