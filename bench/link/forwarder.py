"""The process that is the link: it reads packets from each TUN device and writes them to the other.

    python -m bench.link.forwarder JSON

Its parent talks to it over a socket, one word at a time: `counters` or `reset`, and each is
answered with the counters as JSON. When the parent closes the socket, however it ended, what still
runs in the two namespaces is stopped, and the link with it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from bench.link.namespace import inhabitants
from bench.link.pipe import Pipe
from bench.link.priority import on_time

# Once so many packets have moved within a window, the rest waits for its end, and is moved at once:
# that costs half as much. A packet that comes after a silence waits for nothing.
_WINDOW_S = 0.0005
_PROMPT_PACKETS = 3
# Timers wake up late, by about so much. Where few packets are on the way, as in a handshake, the
# rest of the time is spent awake, so that they are on time.
_EARLY_S, _FEW_PACKETS = 0.0002, 4
_BATCH = 64
_GRACE_S = 3.0
_POLL_S = 0.05
_PR_SET_TIMERSLACK = 29


class Hop:
    """A pipe between two open TUN devices."""

    def __init__(self, source: int, sink: int, pipe: Pipe, mtu_bytes: int) -> None:
        self.source = source
        self.pipe = pipe
        self._sink = sink
        self._mtu_bytes = mtu_bytes

    def take(self, now_s: float) -> int:
        """Read a batch of packets, or as many as there are; how many it was."""
        packets: list[bytes] = []
        with suppress(BlockingIOError):
            for _ in range(_BATCH):
                packets.append(os.read(self.source, self._mtu_bytes))
        self.pipe.arrive(packets, now_s)
        return len(packets)

    def give(self, now_s: float) -> int:
        """Write the packets whose time has come; how many it was."""
        packets = self.pipe.leave(now_s)
        for packet in packets:
            os.write(self._sink, packet)
        return len(packets)


class Forwarder:
    """Two hops, one each way, and the parent's socket."""

    def __init__(self, up: Hop, down: Hop, control: socket.socket) -> None:
        self._hops = (up, down)
        self._control = control
        self._reset_counts()

    def run(self) -> None:
        """Forward until the parent closes its end of the socket."""
        listened = [self._control.fileno(), *(hop.source for hop in self._hops)]
        window_ends_s, moved = 0.0, 0
        while True:
            if moved >= _PROMPT_PACKETS:
                time.sleep(max(0.0, window_ends_s - time.monotonic()))
            ready, _, _ = select.select(listened, (), (), self._idle_s())
            now_s = time.monotonic()
            if now_s >= window_ends_s:
                window_ends_s, moved = now_s + _WINDOW_S, 0
            for hop in self._hops:
                if hop.source in ready:
                    moved += hop.take(now_s)
                moved += hop.give(now_s)
            if listened[0] in ready and not self._answer():
                return

    def _idle_s(self) -> float | None:
        due = [hop.pipe.due_s for hop in self._hops if hop.pipe.due_s is not None]
        if not due:
            return None
        on_the_way = sum(hop.pipe.on_the_way for hop in self._hops)
        early_s = _EARLY_S if on_the_way <= _FEW_PACKETS else 0.0
        return max(0.0, min(due) - early_s - time.monotonic())

    def _answer(self) -> bool:
        """Do as the parent says; False where it has gone."""
        word = self._control.recv(64)
        if word == b"reset":
            self._reset_counts()
        if word:
            self._control.send(json.dumps(self._counts()).encode())
        return bool(word)

    def _counts(self) -> dict[str, object]:
        return {
            **dict(zip(("up", "down"), (hop.pipe.counts() for hop in self._hops), strict=True)),
            "forwarder_cpu_s": time.process_time() - self._cpu_from_s,
            "elapsed_s": time.monotonic() - self._from_s,
        }

    def _reset_counts(self) -> None:
        self._from_s, self._cpu_from_s = time.monotonic(), time.process_time()
        for hop in self._hops:
            hop.pipe.reset()


def main() -> None:
    """Run with the settings given as JSON."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    gc.disable()  # nothing here makes cycles, and a collection would make packets late
    # Timers wake this process to the microsecond, and not to the usual fifty of them.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    node, outside = settings["node_fd"], settings["outside_fd"]
    up = Hop(node, outside, Pipe(**settings["up"]), settings["mtu_bytes"])
    down = Hop(outside, node, Pipe(**settings["down"]), settings["mtu_bytes"])
    with socket.socket(fileno=settings["control_fd"]) as control, on_time():
        Forwarder(up, down, control).run()
    _stop_all(set(settings["namespaces"]))


def _stop_all(namespaces: set[int]) -> None:
    """Terminate, wait, kill: afterwards no process is left in the namespaces."""
    deadline_s = time.monotonic() + _GRACE_S
    _signal_all(namespaces, signal.SIGTERM)
    while inhabitants(namespaces) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    _signal_all(namespaces, signal.SIGKILL)


def _signal_all(namespaces: set[int], number: signal.Signals) -> None:
    for pid in inhabitants(namespaces):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


if __name__ == "__main__":
    main()
