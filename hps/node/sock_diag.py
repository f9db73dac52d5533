"""The kernel's list of TCP sockets with their counters: netlink's SOCK_DIAG, in the raw.

The layouts are those of `linux/netlink.h`, `linux/inet_diag.h` and `linux/tcp.h`; numbers are in
the machine's byte order.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

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
    """One socket. `cookie` is its own for as long as the machine runs; `inode` 0: closed."""

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
