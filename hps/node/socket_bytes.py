"""The bytes that a process moved over TCP, from the kernel's own counters. Linux only.

A tool's own progress counts what it read into memory; the kernel counts what the other side
acknowledged. No right is needed beyond that to read the process' `/proc/<pid>/fd`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hps.node.reading import Unknown, describe
from hps.node.sock_diag import TcpSocket, list_tcp_sockets

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
    """Adds up the sockets of process `pid`, those that were closed since included.

    What a socket moves between the last look and its end is not seen, so look often: the totals
    are a lower bound.
    """

    pid: int
    proc: Path = Path("/proc")
    list_sockets: Callable[[], tuple[TcpSocket, ...]] = list_tcp_sockets
    _seen: dict[int, TcpSocket] = field(default_factory=dict)
    _open: tuple[TcpSocket, ...] = ()

    def look(self) -> Moved | Unknown:
        """The totals now. Unknown where this system does not let them be seen."""
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
        """How many of the sockets open at the last look have moved so much, both ways together."""
        return sum(
            socket.acked_bytes + socket.received_bytes >= at_least_bytes for socket in self._open
        )

    def sent_bytes(self) -> int | Unknown:
        """Bytes that the other side acknowledged so far."""
        moved = self.look()
        return moved if isinstance(moved, Unknown) else moved.sent_bytes

    def received_bytes(self) -> int | Unknown:
        """Bytes that were received so far."""
        moved = self.look()
        return moved if isinstance(moved, Unknown) else moved.received_bytes

    def _add(self, sockets: Iterable[TcpSocket], inodes: frozenset[int]) -> None:
        for socket in sockets:
            # A closed socket has no inode any more, but is the same one while it drains.
            if socket.inode in inodes or socket.cookie in self._seen:
                self._seen[socket.cookie] = _most(socket, self._seen.get(socket.cookie))

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
