"""The bytes that a process moved over TCP, from the kernel's own counters. Linux only.

A tool's own progress counts what it read into memory; the kernel counts what the other side
acknowledged. No right is needed beyond that to read the process' `/proc/<pid>/fd`.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hps.errors import describe
from hps.model import Unknown

# -------------------------------------------------------------------------------------------------
# The kernel's list of TCP sockets with their counters, by netlink's SOCK_DIAG.
#
# The layouts are those of `linux/netlink.h`, `linux/inet_diag.h` and `linux/tcp.h`; numbers are in
# the machine's byte order.

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO = 2
# One bit per state. Not wanted: TIME_WAIT (6), LISTEN (10), NEW_SYN_RECV (12): they count nothing.
_STATES = 0xFFF & ~(1 << 6 | 1 << 10)
_ANSWER_BYTES = 1 << 16
_TIMEOUT_S = 1.0

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBBI48x")  # family, protocol, extensions, padding, states, no socket id
# Family, state, timer and retransmissions, ports, addresses and interface, cookie, expiry, two
# queues, user, inode.
_SOCKET = struct.Struct("=4x40xQ16xI")
_ATTRIBUTE = struct.Struct("=HH")
_COUNTERS = struct.Struct("=120xQQ")  # tcp_info up to tcpi_bytes_acked, tcpi_bytes_received


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSocket:
    """A socket. `cookie` is unique for as long as the machine runs; `inode` is 0 once closed."""

    cookie: int
    inode: int
    acked_bytes: int
    received_bytes: int


def list_tcp_sockets() -> tuple[TcpSocket, ...]:
    """All TCP sockets of this network namespace, listening ones left out. Linux only.

    Raises `OSError` where the kernel, or a sandbox, does not answer.
    """
    return (*_dump(socket.AF_INET), *_dump(socket.AF_INET6))


def _dump(family: int) -> Iterator[TcpSocket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.sendto(_request(family), (0, 0))
        for kind, body in _messages(netlink):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, os.strerror(number))
            found = _parse(body)
            if found is not None:
                yield found


def _request(family: int) -> bytes:
    extensions = 1 << (_INET_DIAG_INFO - 1)
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, extensions, 0, _STATES)
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0) + body


def _messages(netlink: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message; an answer holds several, and there are several answers."""
    while True:
        answer = netlink.recv(_ANSWER_BYTES)
        offset = 0
        while offset + _HEADER.size <= len(answer):
            length, kind, _, _, _ = _HEADER.unpack_from(answer, offset)
            yield kind, answer[offset + _HEADER.size : offset + length]
            offset += _aligned(max(length, _HEADER.size))


def _parse(body: bytes) -> TcpSocket | None:
    cookie, inode = _SOCKET.unpack_from(body)
    for kind, value in _attributes(body[_SOCKET.size :]):
        # Kernels before 4.1 have a shorter structure without the two counters.
        if kind == _INET_DIAG_INFO and len(value) >= _COUNTERS.size:
            acked_bytes, received_bytes = _COUNTERS.unpack_from(value)
            return TcpSocket(
                cookie=cookie, inode=inode, acked_bytes=acked_bytes, received_bytes=received_bytes
            )
    return None


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(max(length, _ATTRIBUTE.size))


def _aligned(length: int) -> int:
    return (length + 3) & ~3


# -------------------------------------------------------------------------------------------------
# What one process moved, by the sockets that it has open.

_SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What went through a process' TCP sockets so far, with protocol overhead (TLS, HTTP).

    `sent_bytes` were acknowledged by the other side. `open_sockets` are open now.
    """

    sent_bytes: int
    received_bytes: int
    open_sockets: int


@dataclass(slots=True)
class SocketBytes:
    """Totals over the sockets of process `pid`, those closed since included.

    What a socket moves between the last look and its end is not seen: the totals are a lower bound,
    and the closer the more often `look` is called.
    """

    pid: int
    proc: Path = Path("/proc")
    list_sockets: Callable[[], tuple[TcpSocket, ...]] = list_tcp_sockets
    _seen: dict[int, TcpSocket] = field(default_factory=dict)
    _open: tuple[TcpSocket, ...] = ()

    def look(self) -> Moved | Unknown:
        """The totals now; unknown where this system does not show them."""
        if sys.platform != "linux":
            return Unknown(reason="counting the bytes of sockets needs Linux")
        inodes = _socket_inodes(self.proc / str(self.pid) / "fd")
        if isinstance(inodes, Unknown):
            return inodes
        try:
            sockets = self.list_sockets()
        except OSError as error:
            return Unknown(reason=f"the kernel does not show its sockets: {describe(error)}")
        self._add(sockets, inodes)
        self._open = tuple(socket for socket in sockets if socket.inode in inodes)
        return self._total(len(self._open))

    def count_open(self, *, at_least_bytes: int) -> int:
        """How many sockets open at the last look have moved so much, both ways together."""
        return sum(
            socket.acked_bytes + socket.received_bytes >= at_least_bytes for socket in self._open
        )

    def busiest_bytes(self) -> int:
        """What the busiest socket has moved, both ways together; 0 where there was none."""
        return max((one.acked_bytes + one.received_bytes for one in self._seen.values()), default=0)

    def sent_bytes(self) -> int | Unknown:
        """Look, and return the bytes that the other side acknowledged so far."""
        moved = self.look()
        return moved if isinstance(moved, Unknown) else moved.sent_bytes

    def received_bytes(self) -> int | Unknown:
        """Look, and return the bytes that were received so far."""
        moved = self.look()
        return moved if isinstance(moved, Unknown) else moved.received_bytes

    def _add(self, sockets: Iterable[TcpSocket], inodes: frozenset[int]) -> None:
        for found in sockets:
            # A closed socket has no inode any more, but keeps its cookie while it drains.
            if found.inode in inodes or found.cookie in self._seen:
                self._seen[found.cookie] = _most(found, self._seen.get(found.cookie))

    def _total(self, open_sockets: int) -> Moved:
        return Moved(
            sent_bytes=sum(socket.acked_bytes for socket in self._seen.values()),
            received_bytes=sum(socket.received_bytes for socket in self._seen.values()),
            open_sockets=open_sockets,
        )


def _most(now: TcpSocket, before: TcpSocket | None) -> TcpSocket:
    if before is None:
        return now
    return TcpSocket(
        cookie=now.cookie,
        inode=now.inode,
        acked_bytes=max(now.acked_bytes, before.acked_bytes),
        received_bytes=max(now.received_bytes, before.received_bytes),
    )


def _socket_inodes(folder: Path) -> frozenset[int] | Unknown:
    """Inodes of the sockets that a process holds; none of a process that has ended."""
    try:
        links = tuple(folder.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return frozenset()
    except OSError as error:
        return Unknown(reason=f"{folder}: {describe(error)}")
    inodes = set()
    for link in links:
        match = _SOCKET_LINK.fullmatch(_destination(link))
        if match is not None:
            inodes.add(int(match[1]))
    return frozenset(inodes)


def _destination(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        # Closed since it was listed.
        return ""


# -------------------------------------------------------------------------------------------------
# How many TCP connections a process uses at once, counted from outside while it runs.

# A connection that moved less than this carried no payload: Go's HTTP client now and then opens a
# connection that it does not use.
PAYLOAD_BYTES = 16 * 1024

# A look walks through the kernel's whole table of connections, which grows with the memory of the
# machine: 4 ms of processor time where it has 262,144 places (24 GiB). Short processes are looked
# at as often as can be, and long ones no more often than this share of one core allows.
SHORTEST_S = 0.04
FREE_S = 0.05
SHARE_OF_A_CORE = 0.02


@dataclass(slots=True)
class ConnectionCounter:
    """A `process.Sampler`: the most connections that were open at once and carried payload.

    Where the kernel's counters can't be read, all established connections are counted. All looks
    together take at most `FREE_S` and `SHARE_OF_A_CORE` of processor time, and that of one more.
    """

    interval_s: float = SHORTEST_S
    samples: int = 0
    most_with_payload: int = 0
    busiest_bytes: int = 0
    _moved_bytes: int = 0
    _moved_at_s: float | None = None
    _payload_at_s: float | None = None
    _spent_s: float = 0.0
    _since_s: float | None = None
    _sockets: SocketBytes | None = field(default=None, repr=False)

    @property
    def most_at_once(self) -> int | None:
        """None where none was seen: the process was too quick, or its sockets are not shown."""
        return self.most_with_payload or None

    @property
    def first_payload_s(self) -> float | None:
        """Seconds from the first look, as the process began, to the one that saw payload move.

        It moved at most one look earlier. None where none was seen, or its bytes are not shown.
        """
        return self._after(self._payload_at_s)

    @property
    def moved_s(self) -> float | None:
        """Seconds from the first look, as the process began, to the last that saw bytes move.

        None where none did, or where the kernel's counters can't be read.
        """
        return self._after(self._moved_at_s)

    def _after(self, at_s: float | None) -> float | None:
        return None if at_s is None or self._since_s is None else at_s - self._since_s

    def sample(self, pid: int) -> None:
        """Look at process `pid`; set `interval_s` to the time until the next look is due."""
        before_s = time.thread_time()
        if self._since_s is None:
            self._since_s = time.monotonic()
        self._look(pid)
        self._spent_s += time.thread_time() - before_s
        self._rest(time.monotonic())

    def _rest(self, now_s: float) -> None:
        if self._since_s is None:
            self._since_s = now_s
        allowed_at_s = self._since_s + (self._spent_s - FREE_S) / SHARE_OF_A_CORE
        self.interval_s = max(SHORTEST_S, allowed_at_s - now_s)

    def _look(self, pid: int) -> None:
        if self._sockets is None:
            self._sockets = SocketBytes(pid=pid)
        moved = self._sockets.look()
        if isinstance(moved, Unknown):
            self._sample_slowly(pid)
            return
        self.busiest_bytes = self._sockets.busiest_bytes()
        total_bytes = moved.sent_bytes + moved.received_bytes
        if total_bytes > self._moved_bytes:
            self._moved_bytes, self._moved_at_s = total_bytes, time.monotonic()
        if self._payload_at_s is None and self.busiest_bytes >= PAYLOAD_BYTES:
            self._payload_at_s = time.monotonic()
        self._count(moved.open_sockets, self._sockets.count_open(at_least_bytes=PAYLOAD_BYTES))

    def _sample_slowly(self, pid: int) -> None:
        try:
            sockets = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            return  # it has just ended, or is not ours to look at: no sample was taken
        open_now = sum(socket.status == psutil.CONN_ESTABLISHED for socket in sockets)
        self._count(open_now, open_now)

    def _count(self, open_now: int, with_payload: int) -> None:
        self.samples += open_now > 0
        self.most_with_payload = max(self.most_with_payload, with_payload)
