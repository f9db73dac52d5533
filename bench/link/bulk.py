"""Plain TCP over a link: how long a connect takes, and how fast a copy of some seconds goes."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.link.link import Link
from bench.link.priority import on_time
from bench.link.settings import Way

_CONNECT_TIMEOUT_S = 60.0
_POLL_S = 0.2
_PIECE_BYTES = 256 * 1024
# Closing sends a reset: nothing of an ended copy is left to disturb the next one.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy that is going on. `segment_bytes`: the most payload that a packet of it carries."""

    segment_bytes: int
    _received: list[int]

    @property
    def received_bytes(self) -> int:
        """How much payload the receivers have by now."""
        return sum(self._received)


def connect_times_s(link: Link, count: int) -> list[float]:
    """From the node to the outside, one after the other."""
    times_s = []
    with _listener(link) as listener:
        for _ in range(count):
            with _node_socket(link) as node:
                with on_time():
                    start_s = time.monotonic()
                    node.connect(listener.getsockname())
                    times_s.append(time.monotonic() - start_s)
                listener.accept()[0].close()
            link.settle()
    return times_s


@contextmanager
def copying(link: Link, way: Way, connections: int) -> Iterator[Copy]:
    """Send as fast as it goes over this many connections, for the length of a `with` block."""
    with ExitStack() as stack:
        pairs = [stack.enter_context(_connected(link)) for _ in range(connections)]
        senders = [node if way == "up" else outside for node, outside in pairs]
        receivers = [outside if way == "up" else node for node, outside in pairs]
        segment_bytes = senders[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        received = stack.enter_context(_running(senders, receivers))
        yield Copy(segment_bytes=segment_bytes, _received=received)


@contextmanager
def _running(senders: list[socket.socket], receivers: list[socket.socket]) -> Iterator[list[int]]:
    """A list of the bytes that each receiver has, which grows in a `with` block."""
    stop = threading.Event()
    received = [0] * len(receivers)
    threads = [threading.Thread(target=_send, args=(sender, stop)) for sender in senders]
    threads += [
        threading.Thread(target=_receive, args=(receiver, stop, received, number))
        for number, receiver in enumerate(receivers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield received
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _send(sender: socket.socket, stop: threading.Event) -> None:
    piece = bytes(_PIECE_BYTES)
    while not stop.is_set():
        try:
            sender.send(piece)
        except TimeoutError:
            continue  # look at `stop` again


def _receive(
    receiver: socket.socket, stop: threading.Event, received: list[int], number: int
) -> None:
    buffer = bytearray(4 * _PIECE_BYTES)
    while not stop.is_set():
        try:
            received[number] += receiver.recv_into(buffer)
        except TimeoutError:
            continue  # look at `stop` again


@contextmanager
def _connected(link: Link) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The node's end and the outside's of a new connection."""
    with _listener(link) as listener, _node_socket(link) as node:
        node.connect(listener.getsockname())
        outside, _ = listener.accept()
        with outside:
            for end in (node, outside):
                end.settimeout(_POLL_S)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            yield node, outside


@contextmanager
def _listener(link: Link) -> Iterator[socket.socket]:
    with link.outside():
        listener = socket.create_server((link.host, 0))
    with listener:
        listener.settimeout(_CONNECT_TIMEOUT_S)
        yield listener


@contextmanager
def _node_socket(link: Link) -> Iterator[socket.socket]:
    with link.inside():
        node = socket.socket()
    with node:
        node.settimeout(_CONNECT_TIMEOUT_S)
        yield node
