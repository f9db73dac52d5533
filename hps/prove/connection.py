"""One client's connection through the proxy: its requests, one after the other."""

from __future__ import annotations

import select
import socket
import threading
import time
from functools import partial
from typing import Protocol

from hps.prove.http_head import Framing, ResponseHead, parse_request, parse_response
from hps.prove.http_stream import ByteStream, Sink, copy_body
from hps.prove.recorder import Exchange, RequestRecorder

IO_TIMEOUT_S = 120.0
GATHER_TIMEOUT_S = 30.0
LINGER_TIMEOUT_S = 5.0
_HEAD_END = b"\r\n\r\n"


class Proxy(Protocol):
    """What a connection asks of its proxy."""

    min_data_s: float
    gather: int
    recorder: RequestRecorder
    stopping: threading.Event


class ConnectionOverError(Exception):
    """The connection is to be ended, whatever remains."""


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
                keep = self._serve_request(exchange)
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

    def _serve_request(self, exchange: Exchange) -> bool:
        """Serve one request; True where the connection can take another."""
        return self._forward(exchange)

    def _forward(self, exchange: Exchange) -> bool:
        head = exchange.head
        self._upstream.sendall(head.raw)
        refusal = self._wait_for_continue() if head.expects_continue else None
        if refusal is None:
            up = self._upwards(exchange)
            copy_body(self._from_client, head.framing, head.length, up, self._upstream.sendall)
        response = refusal or self._final_head()
        framing = self._return(exchange, response)
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

    def _return(self, exchange: Exchange, response: ResponseHead) -> Framing:
        """Send the response on, its last byte not before the data request's time has come."""
        framing = response.framing(exchange.head.method)
        exchange.status = response.status
        before_last = partial(self._before_last, exchange)
        if exchange.head.kind in {"part", "put"} or framing == "none" or not response.has_body:
            before_last()
        self._client.sendall(response.raw)
        source, down = self._from_upstream, self._downwards(exchange)
        copy_body(source, framing, response.length, down, self._client.sendall, before_last)
        exchange.complete = True
        return framing

    def _before_last(self, exchange: Exchange) -> None:
        if exchange.head.kind != "control":
            due_s = exchange.started_s + self._proxy.min_data_s
            self._proxy.stopping.wait(max(0.0, due_s - time.monotonic()))
            self._proxy.recorder.wait_for_data_peak(self._proxy.gather, GATHER_TIMEOUT_S)
        # Taken before the byte is sent: the client's next request must not seem to overlap.
        exchange.ended_s = time.monotonic()

    def _linger(self) -> None:
        """Read what a client sends though it was refused, until it closes the connection.

        Closing over unread bytes would reset the connection, and the client may lose the refusal.
        """
        self._client.shutdown(socket.SHUT_WR)
        self._client.settimeout(LINGER_TIMEOUT_S)
        self._from_client.copy_to_end(drop)

    def _upwards(self, exchange: Exchange) -> Sink:
        """Where the body of a request goes."""
        return partial(self._send_up, exchange)

    def _downwards(self, exchange: Exchange) -> Sink:
        """Where the body of a response goes."""
        return partial(self._send_down, exchange)

    def _send_up(self, exchange: Exchange, piece: memoryview) -> None:
        self._upstream.sendall(piece)
        exchange.up_bytes += len(piece)

    def _send_down(self, exchange: Exchange, piece: memoryview) -> None:
        self._client.sendall(piece)
        exchange.down_bytes += len(piece)


def drop(_: bytes | memoryview) -> None:
    """Read, and not passed on."""
