"""A target tried before anything is measured: an object written, read, listed and deleted.

The calls are those that a run makes, by the same tool, in the run's own folder; nothing of it is
left. So a wrong key, a missing right, or a port that refuses is told in the first second, with the
one whose fault it is.
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

from hps.catalog.failures import failure, missing_right, of_system
from hps.catalog.providers import address_of, owner_of
from hps.model import Failure, Target
from hps.node.proxy import proxy_for
from hps.process import process
from hps.process.stop import NEVER
from hps.results.record import reason_fields
from hps.run_folder import OwnFolder
from hps.targets.bucket import Link
from hps.tools.invocation import Invocation

# -------------------------------------------------------------------------------------------------
# What an endpoint says to one that has no keys: its clock, and where the bucket is.


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The clock's offset in seconds, positive where the server's is ahead; the bucket's region.

    `to_https`: the server sends those who come by plain HTTP on to HTTPS.
    """

    clock_offset_s: float | None = None
    region: str = ""
    to_https: bool = False


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
    except (OSError, ValueError, http.client.HTTPException):
        return NOTHING_HEARD
    heard = _read(heads, (sent_s + time.time()) / 2)
    sent_on = url.startswith("http:") and heads.get("Location", "").startswith("https:")
    return replace(heard, to_https=sent_on)


def speaks_tls(address: str, *, timeout_s: float) -> bool:
    """True where `host:port` shakes hands as HTTPS does; nothing is asked there. Never raises."""
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


def _read(heads: Message, now_s: float) -> Heard:
    try:
        # A date has whole seconds, cut off.
        offset_s = parsedate_to_datetime(heads.get("Date", "")).timestamp() + 0.5 - now_s
    except (TypeError, ValueError, OverflowError):
        offset_s = None
    region = heads.get("x-amz-bucket-region", "")
    known = region.replace("-", "").isalnum() and len(region) <= 64
    return Heard(clock_offset_s=offset_s, region=region if known else "")


# -------------------------------------------------------------------------------------------------

# The names of the calls, in the order in which they are shown.
CALLS = ("write", "read", "list", "multipart", "delete")
# The check of a target ends after so long; targets are checked side by side.
MOST_S = 10.0
_MOST_AT_ONCE = 8
_PAUSE_S = 2.0
_NAME = "check"
_OBJECT = "object.bin"
_UPLOAD = "upload.bin"
_CONTENT_BYTES = 32
# Amazon's servers, and those that do as they do, refuse a request that is further off.
_MOST_SKEW_S = 900.0
# After these a server may have the object all the same.
_PERHAPS_WRITTEN = {"timeout", "connection_lost", "stopped"}
_DELETE_S = 4.0
# What comes of the bucket's name in the host, where a server has its buckets in the path.
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
class Tried:
    """One call of a check. `failure` None: it went well."""

    name: str
    duration_s: float
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCheck:
    """What a target was found to be. `clock_offset_s`: how far its clock is ahead of this one.

    `left` names what could not be deleted again; empty: nothing is left. `whole` is False where the
    time was over before all had been tried.
    """

    target: str
    calls: tuple[Tried, ...]
    clock_offset_s: float | None = None
    left: str = ""
    whole: bool = True

    @property
    def failure(self) -> Failure | None:
        """The first thing that went wrong; of missing rights all are named."""
        wrong = [one.failure for one in self.calls if one.failure is not None]
        rights = list(dict.fromkeys(filter(None, map(missing_right, wrong))))
        if len(rights) < 2:
            return wrong[0] if wrong else None
        first = next(filter(missing_right, wrong))
        return replace(first, hint=f"give the key the rights {', '.join(rights)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """For how long a target that can't be reached is tried again.

    `sleep` is True once the run is stopped; `event` tells that it is waited.
    """

    most_s: float
    sleep: Callable[[float], bool]
    event: Callable[..., object] = field(repr=False)

    def again(self, checked: TargetCheck, until_s: float) -> bool:
        """True, after a pause, where another try may do better."""
        why, left_s = checked.failure, until_s - time.monotonic()
        if why is None or why.owner != "target" or left_s <= 0:
            return False
        told, left = reason_fields(why), round(left_s)
        self.event("target_away", target=checked.target, **told, seconds_left=left)
        return not self.sleep(min(_PAUSE_S, left_s))


@dataclass(slots=True, kw_only=True)
class _Check:
    """A check that is going on; what it has written is deleted after `ends_s`, too."""

    link: Link
    multipart: bool
    ends_s: float
    tried: list[Tried] = field(default_factory=list)
    over: bool = False

    def run(self) -> None:
        """All calls, as far as the ones before let them make sense."""
        written = self.link.scratch / _OBJECT
        written.write_bytes(os.urandom(_CONTENT_BYTES))
        key = f"{self.link.key}/{_OBJECT}"
        listed = False
        wrote = self._try("write", self.link.put(str(written), key))
        if wrote is None or wrote.code == "no_permission":
            listed = self._try("list", self.link.list_names()) is None
        if wrote is None:
            self._read(written, key, listed=listed)
        if wrote is None and self.multipart:
            self._begin_and_abort(written)
        if wrote is None or wrote.code in _PERHAPS_WRITTEN:
            self._delete(by_list=wrote is None and listed)

    def _delete(self, *, by_list: bool) -> None:
        """Also where the time is over, or the run was stopped: nothing is to be left."""
        own = OwnFolder(self.link.key)
        call = self.link.delete(own) if by_list else self.link.delete_object(own, _OBJECT)
        self.ends_s = max(self.ends_s, time.monotonic() + _DELETE_S)
        self.link = replace(self.link, stop=NEVER)
        self._try("delete", call)

    def _read(self, written: Path, key: str, *, listed: bool) -> None:
        """By way of the list where there is one: of a single object the client asks more."""
        read = self._try("read", self.link.get_listed() if listed else self.link.get(key))
        out = self.link.scratch / f"{_NAME}.out"
        came = out.read_bytes()
        if read is None and came != written.read_bytes():
            why = _CHANGED if len(came) == _CONTENT_BYTES else _OTHER
            self.tried[-1] = replace(self.tried[-1], failure=why)

    def _begin_and_abort(self, file: Path) -> None:
        call = self.link.begin_and_abort(str(file), f"{self.link.key}/{_UPLOAD}")
        self._try("multipart", call, lambda ended: self.link.why_not_aborted(_NAME, ended))

    def _why(self, ended: process.Exit) -> Failure | None:
        well = ended.ended == "exit" and ended.returncode == 0
        return None if well else self.link.why_plain(_NAME, ended)

    def _try(
        self,
        name: str,
        call: Invocation,
        judge: Callable[[process.Exit], Failure | None] | None = None,
    ) -> Failure | None:
        """Run a call; `judge` says why it did not go well, where its exit code alone does not.

        A target that has answered before, and is slow, is not at fault where the time is over.
        """
        start_s = time.monotonic()
        answered = any(one.failure is None for one in self.tried)
        if answered and start_s >= self.ends_s:
            self.over = True
            return _OVER
        timeout_s = max(0.1, self.ends_s - start_s)
        ended = self.link.run(call, timeout_s=timeout_s, name=_NAME, stop=self.link.stop)
        if answered and ended.ended == "timeout":
            self.over = True
            return _OVER
        why = (judge or self._why)(ended)
        self.tried.append(Tried(name=name, duration_s=time.monotonic() - start_s, failure=why))
        return why


def check(link: Link, target: Target, *, multipart: bool, ends_s: float) -> TargetCheck:
    """Try one target, in a folder that must be this check's own; at most ten requests.

    `ends_s` is when it ends at the latest (monotonic). Never raises for what the target is.
    """
    trying = _Check(link=link, multipart=multipart, ends_s=ends_s - _DELETE_S)
    answer = ask_beside(target, timeout_s=max(0.1, ends_s - time.monotonic()))
    try:
        trying.run()
    except OSError as error:
        why = of_system(error, link.scratch)
        trying.tried.append(Tried(name="write", duration_s=0.0, failure=why))
    heard = answer(max(0.0, ends_s - time.monotonic()))
    return TargetCheck(
        target=target.name,
        calls=tuple(of_the_way(_with_what_was_heard(one, heard), target) for one in trying.tried),
        clock_offset_s=heard.clock_offset_s,
        left=_left(trying),
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


def _with_what_was_heard(tried: Tried, heard: Heard) -> Tried:
    """What the server says without keys may tell why it refuses them."""
    why = tried.failure
    if why is None:
        return tried
    if heard.to_https:
        text = f"{why.text}; the server sends those who come by plain HTTP on to HTTPS"
        return replace(tried, failure=failure("bad_endpoint", text, hint=_WRITE_HTTPS))
    offset_s = heard.clock_offset_s
    if why.code in _DENIALS and offset_s is not None and abs(offset_s) > _MOST_SKEW_S:
        ahead = "behind" if offset_s > 0 else "ahead"
        text = f"{why.text}; this machine's clock is {abs(offset_s):.0f} s {ahead}"
        return replace(tried, failure=failure("clock_skew", text))
    if why.code == "wrong_region" and heard.region:
        hint = f"the bucket is in another region: {heard.region}"
        return replace(tried, failure=replace(why, hint=hint))
    return tried


def of_the_way(tried: Tried, target: Target) -> Tried:
    """What the way to the target has to do with it: certificates, and plain HTTP to a port of TLS.

    Nobody set up another authority for a provider's own host: somebody on the way is in between. A
    wrong one for any other host, or with a proxy, is an operator's mistake.
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


def _left(trying: _Check) -> str:
    went = {one.name: one.failure for one in trying.tried}
    wrote = went.get("write", _OVER)
    there = wrote is None or wrote.code in _PERHAPS_WRITTEN
    not_gone = (there and went.get("delete", _OVER) is not None) or went.get("multipart")
    return f"{trying.link.name}/" if not_gone else ""
