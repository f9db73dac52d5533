"""The kernel's counters against transfers whose size is known."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hps.model import Unknown
from hps.process.sockets import Moved, SocketBytes, TcpSocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the counters are Linux's")

# The start and the end of a connection count as a byte each.
FEW_BYTES = 4
SENT_BYTES, ANSWER_BYTES = 5_000_000, 70_000
CLIENT = f"""
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(bytes({SENT_BYTES}))
left = {ANSWER_BYTES}
while left:
    left -= len(connection.recv(left))
print("sent", flush=True)
sys.stdin.readline()
connection.close()
print("closed", flush=True)
sys.stdin.readline()
"""


class Peer:
    """Another process that sends to this one, and then does as it is told, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.pid = process, process.pid

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def peer_of(port: int) -> Iterator[Peer]:
    arguments = [sys.executable, "-c", CLIENT, str(port)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def take(connection: socket.socket, size_bytes: int) -> None:
    while size_bytes:
        size_bytes -= len(connection.recv(min(size_bytes, 1 << 16)))


def looked(counter: SocketBytes) -> Moved:
    moved = counter.look()
    assert isinstance(moved, Moved), moved.reason
    return moved


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_both_directions_of_another_process(family: socket.AddressFamily) -> None:
    # A socket of version 6 also takes version 4: its peer is then listed under version 6.
    host, dual = ("::", True) if family == socket.AF_INET6 else ("127.0.0.1", False)
    with (
        socket.create_server((host, 0), family=family, dualstack_ipv6=dual) as server,
        peer_of(server.getsockname()[1]) as peer,
    ):
        server.settimeout(30)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            counter, own = SocketBytes(peer.pid), SocketBytes(os.getpid())
            take(connection, SENT_BYTES)
            connection.sendall(bytes(ANSWER_BYTES))
            peer.wait_for("sent")
            there, here = looked(counter), looked(own)
            assert there.sent_bytes == pytest.approx(SENT_BYTES, abs=FEW_BYTES)
            assert there.received_bytes == pytest.approx(ANSWER_BYTES, abs=FEW_BYTES)
            assert there.open_sockets == 1
            assert here.received_bytes >= SENT_BYTES
            peer.go_on()
            peer.wait_for("closed")
            closed = looked(counter)
            assert closed.open_sockets == 0
            assert closed.sent_bytes == pytest.approx(SENT_BYTES, abs=FEW_BYTES)


def test_a_process_that_has_ended_keeps_its_totals() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with peer_of(server.getsockname()[1]) as peer:
            server.settimeout(30)
            connection, _ = server.accept()
            with connection:
                take(connection, SENT_BYTES)
                connection.sendall(bytes(ANSWER_BYTES))
                peer.wait_for("sent")
                counter = SocketBytes(peer.pid)
                before = looked(counter)
        assert looked(counter).sent_bytes >= before.sent_bytes
        assert looked(counter).open_sockets == 0


def test_a_process_without_sockets_moved_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.readline()"], stdin=subprocess.PIPE
    ) as process:
        assert looked(SocketBytes(process.pid)).sent_bytes == 0
        assert SocketBytes(process.pid).sent_bytes() == 0
        assert SocketBytes(process.pid).received_bytes() == 0


def test_a_kernel_that_refuses_makes_it_unknown() -> None:
    def refuse() -> tuple[TcpSocket, ...]:
        raise PermissionError(1, "Operation not permitted")

    moved = SocketBytes(os.getpid(), list_sockets=refuse).look()
    assert moved == Unknown(reason="the kernel does not show its sockets: Operation not permitted")


def test_a_process_that_may_not_be_looked_at_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/fd").write_text("not a folder", encoding="ascii")
    moved = SocketBytes(7, proc=tmp_path).look()
    assert isinstance(moved, Unknown)
    assert "Not a directory" in moved.reason


def test_counters_never_go_back_and_a_reused_inode_is_another_socket(tmp_path: Path) -> None:
    folder = tmp_path / "7/fd"
    folder.mkdir(parents=True)
    (folder / "3").symlink_to("socket:[11]")
    listed: list[TcpSocket] = []
    counter = SocketBytes(7, proc=tmp_path, list_sockets=lambda: tuple(listed))

    def look_with(*sockets: tuple[int, int, int]) -> int:
        listed[:] = [
            TcpSocket(cookie=cookie, inode=inode, acked_bytes=acked, received_bytes=0)
            for cookie, inode, acked in sockets
        ]
        return looked(counter).sent_bytes

    assert look_with((1, 11, 100), (9, 99, 10**6)) == 100
    assert look_with((1, 0, 150)) == 150  # closed, draining
    assert look_with() == 150  # gone
    assert look_with((2, 11, 20)) == 170  # the same inode, another socket
    assert look_with((2, 11, 5)) == 170
