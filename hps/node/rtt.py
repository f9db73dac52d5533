"""Round-trip times by TCP connects: these need no root, and transfers make them too."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from urllib.parse import urlsplit

from hps.errors import HpsError, describe
from hps.model import Unknown

_DEFAULT_PORTS = {"": 443, "http": 80, "https": 443}
# A host that does not answer these many times in a row is not asked again.
_FAILURES_IN_A_ROW = 3
_MOST_ADDRESSES = 4
_MOST_HOSTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtt:
    """Times of TCP connects to one address, in order.

    `jitter_s` is the median absolute difference between consecutive samples, None for one sample.
    """

    median_s: float
    jitter_s: float | None
    samples_s: tuple[float, ...]
    failures: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    family: socket.AddressFamily
    sockaddr: tuple[str | int | bytes, ...]


@dataclass(slots=True)
class _Tally:
    """Samples and failures so far, and the time that remains."""

    ends_s: float
    timeout_s: float
    samples_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    failed_in_a_row: int = 0

    def remaining_s(self) -> float:
        return min(self.timeout_s, self.ends_s - time.monotonic())

    def sample(self, address: _Address) -> None:
        outcome = _connect_s(address, self.remaining_s())
        if isinstance(outcome, Unknown):
            self.errors.append(outcome.reason)
            self.failed_in_a_row += 1
        else:
            self.samples_s.append(outcome)
            self.failed_in_a_row = 0


def parse_endpoint(text: str) -> Endpoint:
    """`https://host/…`, `http://host:9000`, `host`, `host:port` or `[v6]:port`.

    Without a scheme and a port it is 443. Raises `HpsError` where that is no address of a host.
    """
    bare_v6 = text.count(":") > 1 and "://" not in text and not text.startswith("[")
    marked = text if "://" in text else f"//[{text}]" if bare_v6 else f"//{text}"
    try:
        parts = urlsplit(marked.strip())
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        raise _unreadable() from None
    if not parts.hostname or not port:
        raise _unreadable()
    return Endpoint(host=parts.hostname, port=port)


def measure_all(texts: Iterable[str]) -> Mapping[str, Rtt | Unknown]:
    """Measure the endpoints side by side, at most 16 at once; each keeps its own text as key."""
    names = tuple(dict.fromkeys(texts))
    with ThreadPoolExecutor(max_workers=_MOST_HOSTS_AT_ONCE) as pool:
        return dict(zip(names, pool.map(_measure_text, names), strict=True))


def measure_rtt(
    host: str,
    port: int,
    *,
    samples: int = 10,
    timeout_s: float = 2.0,
    budget_s: float = 10.0,
) -> Rtt | Unknown:
    """Connect `samples` times, one after the other, to the first address that takes connections.

    The name is looked up once and outside the timing. Unknown where fewer than half of the
    connects succeed. No connect takes longer than `timeout_s`, all with the look-up `budget_s`.
    """
    tally = _Tally(ends_s=time.monotonic() + budget_s, timeout_s=timeout_s)
    addresses = _resolve(host, port, budget_s / 2)
    if isinstance(addresses, Unknown):
        return addresses
    address = _first_that_answers(addresses, tally)
    if address is None:
        return Unknown(reason=f"{host}:{port}: {tally.errors[-1]}")
    for _ in range(samples - len(tally.samples_s)):
        if tally.failed_in_a_row >= _FAILURES_IN_A_ROW or tally.remaining_s() <= 0:
            break
        tally.sample(address)
    return _summary(f"{host}:{port}", address, tally, samples)


def _unreadable() -> HpsError:
    # The text is not repeated: an address may have a password in it.
    return HpsError("a host to measure cannot be read", "write host, host:port or https://host")


def _measure_text(text: str) -> Rtt | Unknown:
    try:
        endpoint = parse_endpoint(text)
    except HpsError as error:
        return Unknown(reason=f"{error.message}: {error.hint}")
    return measure_rtt(endpoint.host, endpoint.port)


def _first_that_answers(addresses: tuple[_Address, ...], tally: _Tally) -> _Address | None:
    """Many machines resolve addresses of IPv6 without a route there, so several are tried."""
    for address in addresses[:_MOST_ADDRESSES]:
        tally.sample(address)
        if tally.samples_s:
            # The failures were those of other addresses.
            tally.errors.clear()
            return address
    return None


def _summary(name: str, address: _Address, tally: _Tally, wanted: int) -> Rtt | Unknown:
    times_s, failures = tuple(tally.samples_s), len(tally.errors)
    if 2 * len(times_s) < wanted:
        why = f": {tally.errors[-1]}" if tally.errors else ", out of time"
        return Unknown(reason=f"{name}: only {len(times_s)} of {wanted} connects{why}")
    differences_s = [abs(after - before) for before, after in pairwise(times_s)]
    return Rtt(
        median_s=median(times_s),
        jitter_s=median(differences_s) if differences_s else None,
        samples_s=times_s,
        failures=failures,
        address=str(address.sockaddr[0]),
    )


def _connect_s(address: _Address, timeout_s: float) -> float | Unknown:
    if timeout_s <= 0:
        return Unknown(reason="out of time")
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            started_s = time.monotonic()
            connection.connect(address.sockaddr)
            return time.monotonic() - started_s
    except TimeoutError:
        return Unknown(reason=f"no answer in {timeout_s:.3g} s")
    except OSError as error:
        return Unknown(reason=describe(error))


def _resolve(host: str, port: int, timeout_s: float) -> tuple[_Address, ...] | Unknown:
    """Look a name up, bounded in time.

    The system's look-up takes no time-out: it runs in a thread that is left behind if need be.
    """
    answers: queue.SimpleQueue[tuple[_Address, ...] | Unknown] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_look_up(host, port)), name=f"resolve {host}", daemon=True
    ).start()
    with suppress(queue.Empty):
        return answers.get(timeout=timeout_s)
    return Unknown(reason=f"{host}: the name was not found in {timeout_s:.3g} s")


def _look_up(host: str, port: int) -> tuple[_Address, ...] | Unknown:
    try:
        return tuple(_addresses(host, port)) or Unknown(reason=f"{host}: has no address")
    except (OSError, UnicodeError) as error:
        return Unknown(reason=f"{host}: {describe(error)}")


def _addresses(host: str, port: int) -> Iterator[_Address]:
    for family, _, _, _, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        yield _Address(family=family, sockaddr=sockaddr)
