"""UDP over a link: one packet of known size for each datagram, and none besides."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.link import Link
from bench.link.settings import Way

HEADER_BYTES = 28  # IPv4 and UDP
_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """A sender on one side of a link and a receiver on the other."""

    link: Link
    sender: socket.socket
    receiver: socket.socket

    def send(self, number: int, payload_bytes: int) -> None:
        """Send the number, made as long as that."""
        self.sender.send(str(number).encode().rjust(payload_bytes, b"0"))

    def received(self) -> list[int]:
        """The numbers that have come, once nothing is on the way any more."""
        self.link.settle()
        numbers = []
        while True:
            try:
                numbers.append(int(self.receiver.recv(65_536)))
            except BlockingIOError:
                return numbers

    def exchange(self, count: int, payload_bytes: int) -> list[int]:
        """Send so many, few at a time so that all find room, and say which have come."""
        numbers = []
        for start in range(0, count, _BATCH):
            for number in range(start, min(start + _BATCH, count)):
                self.send(number, payload_bytes)
            numbers += self.received()
        return numbers


@contextmanager
def open_ends(link: Link, way: Way) -> Iterator[Ends]:
    """The two ends for a `with` block."""
    with link.inside():
        node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with link.outside():
        outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with node, outside:
        node.bind((link.node_host, 0))
        outside.bind((link.host, 0))
        sender, receiver = (node, outside) if way == "up" else (outside, node)
        sender.connect(receiver.getsockname())
        receiver.setblocking(False)
        yield Ends(link=link, sender=sender, receiver=receiver)
