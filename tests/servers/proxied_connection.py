"""One client's connection through the proxy of tests, where faults befall its requests."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from hps.prove.connection import ConnectionOverError, ProxiedConnection, drop
from hps.prove.http_head import Framing, RequestHead, ResponseHead, parse_response
from hps.prove.http_stream import Sink, copy_body
from hps.prove.recorder import Exchange, RequestRecorder
from tests.servers.changed_payload import changed
from tests.servers.faults import (
    Action,
    Change,
    Relabel,
    Reset,
    Respond,
    Say,
    Stall,
    Truncate,
)

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultyProxy(Protocol):
    """What a connection asks of its proxy."""

    min_data_s: float
    gather: int
    recorder: RequestRecorder
    stopping: threading.Event

    def fault_for(self, head: RequestHead) -> Action | None:
        """The action that befalls this request."""


class FaultyConnection(ProxiedConnection):
    """Each request has the fault that the proxy has for it."""

    def __init__(self, client: socket.socket, upstream: socket.socket, proxy: FaultyProxy) -> None:
        super().__init__(client, upstream, proxy)
        self._faults = proxy
        self._action: Action | None = None

    def _serve_request(self, exchange: Exchange) -> bool:
        self._action = action = self._faults.fault_for(exchange.head)
        match action:
            case Respond():
                return self._answer(exchange, action)
            case Reset():
                self._end_connection(reset=True)
            case Say():
                return self._say(exchange, action)
            case Stall():
                self._proxy.stopping.wait(action.seconds)
        return self._forward(exchange)

    def _return(self, exchange: Exchange, response: ResponseHead) -> Framing:
        if isinstance(self._action, Relabel):
            response = relabelled(response, self._action.headers)
        return super()._return(exchange, response)

    def _upwards(self, exchange: Exchange) -> Sink:
        return self._changed(super()._upwards(exchange))

    def _downwards(self, exchange: Exchange) -> Sink:
        down = super()._downwards(exchange)
        return self._changed(down) if exchange.head.kind in {"get", "range"} else down

    def _answer(self, exchange: Exchange, action: Respond) -> bool:
        head = exchange.head
        if not head.expects_continue:
            payload = partial(_count_up, exchange)
            copy_body(self._from_client, head.framing, head.length, payload, drop)
        exchange.status = action.status
        exchange.ended_s = time.monotonic()
        raw = action.head(close=head.expects_continue or head.closes)
        self._client.sendall(raw if head.method == "HEAD" else raw + action.body)
        exchange.complete = True
        if head.expects_continue:
            self._linger()
        return not (head.expects_continue or head.closes)

    def _say(self, exchange: Exchange, action: Say) -> bool:
        head = exchange.head
        if not (action.early or head.expects_continue):
            payload = partial(_count_up, exchange)
            copy_body(self._from_client, head.framing, head.length, payload, drop)
        exchange.ended_s = time.monotonic()
        self._client.sendall(action.raw)
        exchange.complete = True
        self._linger()
        return False

    def _changed(self, sink: Sink) -> Sink:
        change = self._action if isinstance(self._action, Change) else None
        reset = isinstance(change, Truncate) and change.reset
        return changed(
            sink, change, self._proxy.stopping.wait, partial(self._end_connection, reset=reset)
        )

    def _end_connection(self, *, reset: bool) -> None:
        if reset:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        raise ConnectionOverError


def _count_up(exchange: Exchange, piece: memoryview) -> None:
    exchange.up_bytes += len(piece)


def relabelled(head: ResponseHead, headers: Mapping[str, str]) -> ResponseHead:
    """The head with these headers in place of its own; an empty value takes one away."""
    first, *lines = head.raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    others = {name.lower() for name in headers}
    kept = [line for line in lines if line.partition(":")[0].lower() not in others]
    added = [f"{name}: {value}" for name, value in headers.items() if value]
    return parse_response("\r\n".join([first, *kept, *added, "", ""]).encode("latin-1"))
