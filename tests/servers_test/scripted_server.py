"""A server that answers with given bytes, for turns of HTTP that S3 servers seldom take."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Read until `mark` has come, then send `answer`."""

    mark: bytes
    answer: bytes


@dataclass(slots=True, kw_only=True)
class ScriptedServer:
    """Where it listens on loopback, and every byte that it has received."""

    port: int
    received: bytearray = field(default_factory=bytearray)


@contextmanager
def scripted_server(turns: Sequence[Turn]) -> Iterator[ScriptedServer]:
    """Take the turns on one connection, then close it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        server = ScriptedServer(port=listener.getsockname()[1])
        thread = threading.Thread(target=_take_turns, args=(listener, turns, server.received))
        thread.start()
        try:
            yield server
        finally:
            thread.join(TIMEOUT_S)


def _take_turns(listener: socket.socket, turns: Sequence[Turn], received: bytearray) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(TIMEOUT_S)
        seen = 0
        for turn in turns:
            while (found := received.find(turn.mark, seen)) < 0:
                received += connection.recv(65536)
            seen = found + len(turn.mark)
            connection.sendall(turn.answer)
