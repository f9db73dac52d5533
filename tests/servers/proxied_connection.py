"""One client's connection through the proxy: its requests, one after the other."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from functools import partial
from typing import Protocol

from tests.servers.byte_stream import ByteStream, Sink
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
from tests.servers.http_body import copy_body
from tests.servers.http_head import (
    Framing,
    RequestHead,
    ResponseHead,
    parse_request,
    parse_response,
    relabelled,
)
from tests.servers.recorder import Exchange, Recorder

IO_TIMEOUT_S = 120.0
GATHER_TIMEOUT_S = 30.0
LINGER_TIMEOUT_S = 5.0
_HEAD_END = b"\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy(Protocol):
    """What a connection asks of its proxy."""

    min_data_s: float
    gather: int
    recorder: Recorder
    stopping: threading.Event

    def fault_for(self, head: RequestHead) -> Action | None:
        """The action that befalls this request."""


class ConnectionOverError(Exception):
    """A fault has ended the connection."""


class ProxiedConnection:
    """A client's connection, and the upstream connection that its requests go over."""

    def __init__(self, client: socket.socket, upstream: socket.socket, proxy: Proxy) -> None:
        self._client = client
        self._upstream = upstream
        self._from_client = ByteStream(client)
        self._from_upstream = ByteStream(upstream)
        self._proxy = proxy
        self._port: int = client.getpeername()[1]

    def serve(self) -> None:
        """Serve requests until either side closes the connection."""
        keep = True
        while keep and (raw := self._next_head()):
            exchange = self._proxy.recorder.begin(parse_request(raw), self._port)
            try:
                keep = self._serve_one(exchange)
            except (OSError, ConnectionOverError):
                # The record says "not complete"; the client is told by its connection's end.
                keep = False
            finally:
                self._proxy.recorder.end(exchange)

    def _next_head(self) -> bytes:
        try:
            return self._from_client.read_until(_HEAD_END)
        except OSError:
            # A client that resets an idle connection is gone, like one that closes it.
            return b""

    def _serve_one(self, exchange: Exchange) -> bool:
        """Serve one request; True where the connection can take another."""
        action = self._proxy.fault_for(exchange.head)
        match action:
            case Respond():
                return self._answer(exchange, action)
            case Reset():
                self._end_connection(reset=True)
            case Say():
                return self._say(exchange, action)
            case Stall():
                self._proxy.stopping.wait(action.seconds)
        return self._forward(exchange, action)

    def _forward(self, exchange: Exchange, action: Action | None) -> bool:
        head = exchange.head
        self._upstream.sendall(head.raw)
        refusal = self._wait_for_continue() if head.expects_continue else None
        if refusal is None:
            payload = self._changed(partial(self._send_up, exchange), action)
            copy_body(self._from_client, head.framing, head.length, payload, self._upstream.sendall)
        response = refusal or self._final_head()
        if isinstance(action, Relabel):
            response = relabelled(response, action.headers)
        framing = self._return(exchange, response, action)
        if refusal:
            self._linger()
        return not (refusal or framing == "to_end" or head.closes or response.closes)

    def _wait_for_continue(self) -> ResponseHead | None:
        """Relay the server's `100 Continue`; its final response where it refuses the body.

        Clients do not wait for ever: a body that comes without leave is passed on as well.
        """
        if self._from_client.buffered:
            return None
        sides = [self._client, self._upstream]
        readable, _, _ = select.select(sides, [], [], IO_TIMEOUT_S)
        if self._upstream not in readable:
            return None
        response = self._response_head()
        if response.status >= 200:
            return response
        self._client.sendall(response.raw)
        return None

    def _final_head(self) -> ResponseHead:
        while (response := self._response_head()).status < 200:
            self._client.sendall(response.raw)
        return response

    def _response_head(self) -> ResponseHead:
        raw = self._from_upstream.read_until(_HEAD_END)
        if not raw:
            raise ConnectionError("the server closed the connection without a response")
        return parse_response(raw)

    def _return(self, exchange: Exchange, response: ResponseHead, action: Action | None) -> Framing:
        """Send the response on, its last byte not before the data request's time has come."""
        framing = response.framing(exchange.head.method)
        exchange.status = response.status
        before_last = partial(self._before_last, exchange)
        if exchange.head.kind in {"part", "put"} or framing == "none" or not response.has_body:
            before_last()
        self._client.sendall(response.raw)
        down = action if exchange.head.kind in {"get", "range"} else None
        payload = self._changed(partial(self._send_down, exchange), down)
        source = self._from_upstream
        copy_body(source, framing, response.length, payload, self._client.sendall, before_last)
        exchange.complete = True
        return framing

    def _before_last(self, exchange: Exchange) -> None:
        if exchange.head.kind != "control":
            due_s = exchange.started_s + self._proxy.min_data_s
            self._proxy.stopping.wait(max(0.0, due_s - time.monotonic()))
            self._proxy.recorder.wait_for_data_peak(self._proxy.gather, GATHER_TIMEOUT_S)
        # Taken before the byte is sent: the client's next request must not seem to overlap.
        exchange.ended_s = time.monotonic()

    def _answer(self, exchange: Exchange, action: Respond) -> bool:
        head = exchange.head
        if not head.expects_continue:
            payload = partial(_count_up, exchange)
            copy_body(self._from_client, head.framing, head.length, payload, _drop)
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
            copy_body(self._from_client, head.framing, head.length, payload, _drop)
        exchange.ended_s = time.monotonic()
        self._client.sendall(action.raw)
        exchange.complete = True
        self._linger()
        return False

    def _linger(self) -> None:
        """Read what a client sends though it was refused, until it closes the connection.

        Closing over unread bytes would reset the connection, and the client may lose the refusal.
        """
        self._client.shutdown(socket.SHUT_WR)
        self._client.settimeout(LINGER_TIMEOUT_S)
        self._from_client.copy_to_end(_drop)

    def _send_up(self, exchange: Exchange, piece: memoryview) -> None:
        self._upstream.sendall(piece)
        exchange.up_bytes += len(piece)

    def _send_down(self, exchange: Exchange, piece: memoryview) -> None:
        self._client.sendall(piece)
        exchange.down_bytes += len(piece)

    def _changed(self, sink: Sink, action: Action | None) -> Sink:
        change = action if isinstance(action, Change) else None
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


def _drop(_: bytes | memoryview) -> None:
    """Read, and not passed on."""
