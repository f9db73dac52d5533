"""TUN devices: a file at one end, a network device of the kernel at the other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from bench.link.errors import NoLinkError
from bench.link.namespace import Namespace

TUN = "/dev/net/tun"
NAME = "link0"
_PREFIX_MASK = "255.255.255.252"
# The kernel's own queue towards the forwarder, in packets. It has to be longer than whatever TCP
# sends while the forwarder is not running, for what overflows here is lost unseen by the link.
_KERNEL_QUEUE_PACKETS = 100_000

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IFF_UP = 0x1
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8922, 0x8943


@contextlib.contextmanager
def open_device(namespace: Namespace, address: str, mtu_bytes: int) -> Iterator[int]:
    """A TUN device that is up in `namespace`, with this address in a network of four.

    Yields its file descriptor, non-blocking; the device goes when all copies of it are closed.
    Raises `NoLinkError`.
    """
    with namespace.entered():
        descriptor = _open()
        try:
            _configure(descriptor, address, mtu_bytes)
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def count_kernel_drops(namespace: Namespace) -> int:
    """Packets that the kernel dropped before the link's forwarder could read them."""
    with namespace.entered():
        lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.strip().startswith(f"{NAME}:"))
    return int(line.partition(":")[2].split()[11])


def _open() -> int:
    try:
        descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NoLinkError(
            f"{TUN} can't be opened: {error.strerror}",
            "load the kernel's module tun; a container needs --device /dev/net/tun",
        ) from error
    return descriptor


def _configure(descriptor: int, address: str, mtu_bytes: int) -> None:
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, _request(NAME, "H", _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _set(control, _SIOCSIFADDR, _socket_address(NAME, address))
            _set(control, _SIOCSIFNETMASK, _socket_address(NAME, _PREFIX_MASK))
            _set(control, _SIOCSIFMTU, _request(NAME, "i", mtu_bytes))
            _set(control, _SIOCSIFTXQLEN, _request(NAME, "i", _KERNEL_QUEUE_PACKETS))
            for name in ("lo", NAME):
                _bring_up(control, name)
    except OSError as error:
        raise NoLinkError(
            f"a TUN device can't be set up: {error.strerror}",
            "run as root, in a container with --privileged",
        ) from error


def _bring_up(control: socket.socket, name: str) -> None:
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _request(name, "H", 0))
    (flags,) = struct.unpack_from("=H", answer, 16)
    _set(control, _SIOCSIFFLAGS, _request(name, "H", flags | _IFF_UP))


def _set(control: socket.socket, request: int, argument: bytes) -> None:
    fcntl.ioctl(control, request, argument)


def _request(name: str, kind: str, value: int) -> bytes:
    """A `struct ifreq` of 40 bytes with a number in it."""
    return struct.pack(f"=16s{kind}", name.encode(), value).ljust(40, b"\0")


def _socket_address(name: str, address: str) -> bytes:
    """A `struct ifreq` with an IPv4 address in it."""
    return struct.pack(
        "=16sHH4s", name.encode(), socket.AF_INET, 0, socket.inet_aton(address)
    ).ljust(40, b"\0")
