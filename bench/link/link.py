"""A link that is up for the length of a `with` block."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from bench.link import running, tcp
from bench.link.counters import Counters, direction_counters
from bench.link.device import count_kernel_drops, open_device
from bench.link.errors import LinkError
from bench.link.namespace import new_namespace
from bench.link.settings import LinkSettings, Way
from bench.link.tcp import TcpSettings

# From 198.18.0.0/15, which RFC 2544 sets aside for benchmarks. Each link has namespaces of its
# own, so that all can have the same.
OUTSIDE_HOST, NODE_HOST = "198.18.0.1", "198.18.0.2"
HOST_ENV, OUTSIDE_ENV = "HPS_LINK_HOST", "HPS_LINK_OUTSIDE"
_REPOSITORY = Path(__file__).resolve().parents[2]
_ANSWER_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0
_POLL_S = 0.01


class Link:
    """A node's namespace, the outside's, and the forwarder between them.

    Raises on entering: `NoLinkError` where this machine can't make one, `HpsError` for a congestion
    control that it has not. On leaving, every process in the two namespaces is stopped.
    """

    host = OUTSIDE_HOST
    """The address under which the node reaches servers on the outside."""
    node_host = NODE_HOST
    """The node's own address."""

    def __init__(self, settings: LinkSettings) -> None:
        self.settings = settings
        self._stack = ExitStack()
        self._asking = threading.Lock()

    def __enter__(self) -> Link:
        with ExitStack() as stack:
            self._node = stack.enter_context(new_namespace())
            self._outside = stack.enter_context(new_namespace())
            for namespace in (self._node, self._outside):
                tcp.apply(namespace, self.settings)
            with ExitStack() as devices:  # the forwarder keeps copies: they end with it
                opened = [
                    devices.enter_context(open_device(namespace, host, self.settings.mtu_bytes))
                    for namespace, host in ((self._node, NODE_HOST), (self._outside, OUTSIDE_HOST))
                ]
                self._start_forwarder(stack, *opened)
            self._kernel_drops = self._count_kernel_drops()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def tcp(self) -> TcpSettings:
        """What TCP does on both sides."""
        return tcp.read(self._node)

    @property
    def env(self) -> dict[str, str]:
        """What tells a program in the node where the outside is.

        `HPS_LINK_HOST` is its address; `HPS_LINK_OUTSIDE` is a file for `nsenter --net=…`.
        """
        return {HOST_ENV: OUTSIDE_HOST, OUTSIDE_ENV: self._outside.path}

    def inside(self) -> AbstractContextManager[None]:
        """A `with` block in which this thread is in the node.

        Sockets, processes and threads that are made in it belong to the node for good.
        """
        return self._node.entered()

    def outside(self) -> AbstractContextManager[None]:
        """The same for the outside, where servers listen on `host`."""
        return self._outside.entered()

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> int:
        """Run a command in the node and return its exit code, that of a shell where it was killed.

        `env` is added to this process' environment. Call it in the main thread: SIGINT, SIGTERM and
        SIGHUP are passed on to the command. Raises `CommandError` where it can't be started,
        `LinkError` where it took longer than `timeout_s` or the link broke; it is stopped then.
        """
        return running.run(
            command,
            env={**os.environ, **self.env, **(env or {})},
            place=self._node,
            forwarder=self._forwarder,
            timeout_s=timeout_s,
            streams=(stdout, stderr),
        )

    def counters(self) -> Counters:
        """Everything since the last reset, as it is now. Raises `LinkError`."""
        return self._counters(self._ask("counters"))

    def reset(self) -> None:
        """Count from zero. What is on its way counts as delivered when it leaves the link."""
        self._ask("reset")
        self._kernel_drops = self._count_kernel_drops()

    def settle(self, timeout_s: float = 10.0) -> Counters:
        """Wait until nothing is on its way any more, at most `timeout_s`; then the counters."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            counters = self.counters()
            on_the_way = counters.up.on_the_way_packets + counters.down.on_the_way_packets
            if not on_the_way or time.monotonic() > deadline_s:
                return counters
            time.sleep(_POLL_S)

    def _ask(self, word: str) -> dict[str, Any]:
        try:
            with self._asking:
                self._control.send(word.encode())
                answer = self._control.recv(65_536)
        except OSError as error:
            raise _broken() from error
        if not answer:
            raise _broken()
        answered: dict[str, Any] = json.loads(answer)
        return answered

    def _counters(self, answer: dict[str, Any]) -> Counters:
        now, before = self._count_kernel_drops(), self._kernel_drops
        return Counters(
            up=direction_counters(answer["up"], now["up"] - before["up"]),
            down=direction_counters(answer["down"], now["down"] - before["down"]),
            forwarder_cpu_s=answer["forwarder_cpu_s"],
            elapsed_s=answer["elapsed_s"],
        )

    def _count_kernel_drops(self) -> dict[Way, int]:
        return {"up": count_kernel_drops(self._node), "down": count_kernel_drops(self._outside)}

    def _start_forwarder(self, stack: ExitStack, node_fd: int, outside_fd: int) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWER_TIMEOUT_S)
        with theirs:
            descriptors = {
                "node_fd": node_fd,
                "outside_fd": outside_fd,
                "control_fd": theirs.fileno(),
            }
            settings = {
                **descriptors,
                "namespaces": [self._node.inode, self._outside.inode],
                "mtu_bytes": self.settings.mtu_bytes,
                "up": self._pipe("up"),
                "down": self._pipe("down"),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.link.forwarder", json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,  # a Ctrl-C is not for it
                cwd=_REPOSITORY,
            )
        self.forwarder_pid = process.pid
        self._forwarder = os.pidfd_open(process.pid)
        stack.callback(os.close, self._forwarder)
        stack.callback(_end, process)
        stack.callback(self._control.close)  # comes first, and tells it to end
        self._ask("reset")

    def _pipe(self, way: Way) -> dict[str, float | str]:
        settings = self.settings
        return {
            "bytes_per_s": settings.mbps(way) * 1e6 / 8,
            "delay_s": settings.rtt_s / 2,
            "queue_s": settings.queue_of_s(way),
            "loss": settings.loss,
            "seed": f"{settings.seed}-{way}",
        }


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_END_TIMEOUT_S)


def _broken() -> LinkError:
    return LinkError("the link's forwarder has ended", "was it killed by hand?")
