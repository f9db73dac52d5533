"""How many TCP connections a process uses at once, counted from outside while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil

from hps.node.reading import Unknown
from hps.process.sockets import SocketBytes

# A connection that moved less than this carried no payload, but a look-up or nothing at all: Go's
# HTTP client now and then opens one that it finds no use for.
PAYLOAD_BYTES = 16 * 1024

# A look walks through the kernel's whole table of connections, which grows with the memory of the
# machine: 4 ms of processor time where it has 262,144 places (24 GiB). Short processes are looked
# at as often as can be, and long ones no more often than this share of one core allows.
SHORTEST_S = 0.04
FREE_S = 0.05
SHARE_OF_A_CORE = 0.02


@dataclass(slots=True)
class ConnectionCounter:
    """A `process.Sampler`: the most connections that were open at once and carried payload.

    Where the kernel's counters can't be read, all established connections are counted. Looking
    takes `FREE_S` and `SHARE_OF_A_CORE` of processor time at most, and one look more.
    """

    interval_s: float = SHORTEST_S
    samples: int = 0
    most_with_payload: int = 0
    _spent_s: float = 0.0
    _since_s: float | None = None
    _sockets: SocketBytes | None = field(default=None, repr=False)

    @property
    def most_at_once(self) -> int | None:
        """None where none was seen: the process was too quick, or may not be looked at."""
        return self.most_with_payload or None

    def sample(self, pid: int) -> None:
        """One look at process `pid`; sets `interval_s` to the time until the next one is due."""
        before_s = time.thread_time()
        self._look(pid)
        self._spent_s += time.thread_time() - before_s
        self._rest(time.monotonic())

    def _rest(self, now_s: float) -> None:
        if self._since_s is None:
            self._since_s = now_s
        allowed_at_s = self._since_s + (self._spent_s - FREE_S) / SHARE_OF_A_CORE
        self.interval_s = max(SHORTEST_S, allowed_at_s - now_s)

    def _look(self, pid: int) -> None:
        if self._sockets is None:
            self._sockets = SocketBytes(pid=pid)
        moved = self._sockets.look()
        if isinstance(moved, Unknown):
            self._sample_slowly(pid)
            return
        self._count(moved.open_sockets, self._sockets.count_open(at_least_bytes=PAYLOAD_BYTES))

    def _sample_slowly(self, pid: int) -> None:
        try:
            sockets = psutil.Process(pid).net_connections(kind="tcp")
        except psutil.Error:
            return  # it has just ended, or is not ours to look at: no sample was taken
        open_now = sum(socket.status == psutil.CONN_ESTABLISHED for socket in sockets)
        self._count(open_now, open_now)

    def _count(self, open_now: int, with_payload: int) -> None:
        self.samples += open_now > 0
        self.most_with_payload = max(self.most_with_payload, with_payload)
