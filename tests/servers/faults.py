"""Faults that a test makes the proxy play: which requests they befall, and what then happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hps.prove.http_head import RequestHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Answer in the server's place.

    The request's body is read first, unless the client waits for leave to send it: then the
    answer refuses it, and the connection ends.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, *, close: bool) -> bytes:
        """The response without its body; `close` says that the connection ends after it."""
        length = {"Content-Length": str(len(self.body))}
        headers = {**self.headers, **length, **({"Connection": "close"} if close else {})}
        lines = [f"HTTP/1.1 {self.status} Fault", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Reset the client's connection as soon as the request's head has arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """Let only so many bytes of the payload through, up or down, then end the connection.

    It is closed in good order, or reset where `reset` is set.
    """

    after_bytes: int
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Do nothing for a time after the request's head has arrived, then serve it as usual."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Change one byte of the payload, up or down, `at` so many bytes from its start."""

    at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """Let the payload through, up or down, a byte at a time, `seconds` apart, from a point on."""

    after_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Send these bytes as they are in the server's place, then close the connection.

    `early`: as soon as the request's head has arrived, without reading its body.
    """

    raw: bytes
    early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """Pass on the server's response with these headers in place of its own; "" takes one away.

    Where that says `Connection: close`, the connection ends after it.
    """

    headers: Mapping[str, str]


Change = Truncate | Flip | Drip
Action = Respond | Reset | Stall | Say | Relabel | Change


@dataclass(slots=True, kw_only=True)
class Rule:
    """The first `times` requests that `match` get `action`; None: all of them.

    The first rule in a list that matches and is not used up counts; the others are not asked.
    """

    match: Callable[[RequestHead], bool]
    action: Action
    times: int | None = 1
    used: int = 0

    def takes(self, head: RequestHead) -> bool:
        """True, and counted, where this request gets the action. Not for two threads at once."""
        left = self.times is None or self.used < self.times
        if left and self.match(head):
            self.used += 1
            return True
        return False


def slow_down(times: int | None = 1, *, match: Callable[[RequestHead], bool]) -> Rule:
    """The `503 SlowDown` that S3 servers send to a client that asks too much."""
    body = (
        b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    )
    action = Respond(status=503, body=body, headers={"Content-Type": "application/xml"})
    return Rule(match=match, action=action, times=times)
