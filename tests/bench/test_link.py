"""A link of real TUN devices and real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path

import psutil
import pytest

from bench.link import Link, LinkError, LinkSettings
from bench.link.bulk import connect_times_s
from bench.link.settings import WAYS, Way
from hps.errors import HpsError
from tests.bench.datagrams import HEADER_BYTES, open_ends
from tests.bench.machine import WHY_NOT, needs_link

pytestmark = needs_link
FAST = LinkSettings(rtt_s=0.01, up_mbps=100, down_mbps=100)
_OWN_SETTINGS = [
    Path("/proc/sys/net/ipv4") / name
    for name in ("tcp_congestion_control", "tcp_allowed_congestion_control", "tcp_rmem", "tcp_wmem")
]


@pytest.fixture(scope="module")
def fast() -> Iterator[Link]:
    """A link that is in no one's way."""
    with Link(FAST) as link:
        yield link


def test_a_connect_takes_the_round_trip_and_never_less() -> None:
    with Link(LinkSettings(rtt_s=0.12, up_mbps=50, down_mbps=50)) as link:
        times_s = connect_times_s(link, 7)
    assert 0.12 <= min(times_s) < 0.24


@pytest.mark.parametrize("way", WAYS)
def test_every_packet_and_byte_is_counted(fast: Link, way: Way) -> None:
    with open_ends(fast, way) as ends:
        fast.reset()
        assert ends.exchange(120, 1000) == list(range(120))
        counters = fast.settle()
    there = counters.of(way)
    assert (there.arrived_packets, there.delivered_packets) == (120, 120)
    assert there.arrived_bytes == there.delivered_bytes == 120 * (1000 + HEADER_BYTES)
    assert (there.lost_packets, there.dropped_packets, there.kernel_drops) == (0, 0, 0)
    assert counters.of("down" if way == "up" else "up").arrived_packets == 0
    assert there.first_s is not None
    assert there.last_s is not None
    assert there.last_s - there.first_s >= FAST.rtt_s / 2


def test_a_reset_counts_from_zero(fast: Link) -> None:
    with open_ends(fast, "up") as ends:
        ends.exchange(5, 100)
    fast.reset()
    counters = fast.counters()
    assert (counters.up.arrived_packets, counters.up.first_s) == (0, None)


@pytest.mark.parametrize(("way", "mbps"), [("up", 4), ("down", 8)])
def test_nothing_goes_faster_than_the_rate(way: Way, mbps: float) -> None:
    settings = LinkSettings(rtt_s=0.02, up_mbps=4, down_mbps=8, queue_s=5)
    with Link(settings) as link, open_ends(link, way) as ends:
        for number in range(150):
            ends.send(number, 1372)
        counters = link.settle().of(way)
    least_s = 150 * 1400 * 8 / 1e6 / mbps + settings.rtt_s / 2
    assert counters.delivered_packets == 150
    assert counters.first_s is not None
    assert counters.last_s is not None
    assert counters.last_s - counters.first_s >= least_s


def test_what_finds_the_queue_full_is_dropped_and_counted() -> None:
    settings = LinkSettings(rtt_s=0.02, up_mbps=1, down_mbps=100, queue_bytes=30_000)
    with Link(settings) as link, open_ends(link, "up") as ends:
        for number in range(200):
            ends.send(number, 1472)
        came = ends.received()
        counters = link.settle().up
    assert counters.arrived_packets == 200
    assert counters.dropped_packets == 200 - len(came) > 0
    assert counters.longest_queue_s <= settings.queue_of_s("up") + 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_the_seed_decides_which_packets_are_lost(way: Way) -> None:
    count, loss = 1200, 0.05
    came = [_came(way, count, loss, seed) for seed in (1, 1, 2)]
    assert came[0] == came[1] != came[2]
    for numbers in came:
        assert abs(count - len(numbers) - count * loss) < 4 * sqrt(count * loss * (1 - loss))


def _came(way: Way, count: int, loss: float, seed: int) -> list[int]:
    settings = LinkSettings(rtt_s=0.001, up_mbps=500, down_mbps=500, loss=loss, seed=seed)
    with Link(settings) as link, open_ends(link, way) as ends:
        link.reset()
        numbers = ends.exchange(count, 100)
        counters = link.settle().of(way)
        assert counters.lost_packets == count - len(numbers)
        assert counters.lost_share == counters.lost_packets / count
    return numbers


def _guarded() -> str:
    """A congestion control that namespaces may not choose unasked, where the kernel has one."""
    available, allowed = (
        (Path("/proc/sys/net/ipv4") / f"tcp_{kind}_congestion_control").read_text().split()
        for kind in ("available", "allowed")
    )
    return next((name for name in available if name not in allowed), "reno")


@pytest.mark.parametrize("name", sorted({"reno", "reno" if WHY_NOT else _guarded()}))
def test_tcp_is_set_on_both_sides_and_the_machine_is_left_alone(name: str) -> None:
    before = [path.read_text() for path in _OWN_SETTINGS]
    settings = replace(
        FAST,
        congestion_control=name,
        receive_buffer_bytes=1_000_000,
        send_buffer_bytes=2_000_000,
    )
    with Link(settings) as link:
        names = []
        for side in (link.inside(), link.outside()):
            with side, socket.socket() as made:
                names.append(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16))
        assert [found.rstrip(b"\0").decode() for found in names] == [name, name]
        assert link.tcp.congestion_control == name
        assert link.tcp.receive_buffer_bytes == 1_000_000
        assert link.tcp.send_buffer_bytes == 2_000_000
        assert [path.read_text() for path in _OWN_SETTINGS] == before


def test_there_is_no_ipv6_whose_packets_would_be_counted(fast: Link) -> None:
    for side in (fast.inside(), fast.outside()):
        with side:
            addresses = Path("/proc/thread-self/net/if_inet6")
            assert not addresses.exists() or "link0" not in addresses.read_text()


def test_the_machines_network_is_left_alone(fast: Link) -> None:
    assert "link0" not in {name for _, name in socket.if_nameindex()}
    for side in (fast.inside(), fast.outside()):
        with side:
            assert {name for _, name in socket.if_nameindex()} == {"lo", "link0"}


def test_only_the_calling_thread_is_inside(fast: Link) -> None:
    seen = []
    with fast.inside():
        own = Path("/proc/thread-self/ns/net").stat().st_ino
        main = Path("/proc/self/ns/net").stat().st_ino
    thread = threading.Thread(
        target=lambda: seen.append(Path("/proc/thread-self/ns/net").stat().st_ino)
    )
    thread.start()
    thread.join()
    assert own not in seen
    if threading.current_thread() is threading.main_thread():
        assert main == own


def test_links_do_not_meet(fast: Link) -> None:
    with Link(FAST) as other, open_ends(other, "up") as ends:
        fast.reset()
        ends.exchange(3, 100)
        assert other.counters().up.arrived_packets == 3
        assert fast.counters().up.arrived_packets == 0


def test_a_command_is_told_where_the_outside_is(fast: Link, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        code = fast.run(
            ["sh", "-c", 'echo "$HPS_LINK_HOST $EXTRA"; exit 9'],
            env={"EXTRA": "more"},
            stdout=out.fileno(),
        )
    assert code == 9
    assert (tmp_path / "out").read_text() == f"{fast.host} more\n"


def test_a_server_on_the_outside_is_started_with_nsenter(fast: Link) -> None:
    script = 'nsenter --net="$HPS_LINK_OUTSIDE" stat -Lc %i /proc/self/ns/net'
    with fast.outside():
        outside = Path("/proc/thread-self/ns/net").stat().st_ino
    with fast.inside():
        done = subprocess.run(
            ["sh", "-c", script],
            env={**os.environ, **fast.env},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    assert int(done.stdout) == outside


def test_a_command_that_takes_too_long_is_stopped(fast: Link) -> None:
    with pytest.raises(LinkError, match="took longer than"):
        fast.run(["sleep", "600"], timeout_s=0.2)


def test_no_process_is_left_in_a_link_that_has_ended(tmp_path: Path) -> None:
    with Link(FAST) as link, (tmp_path / "out").open("wb") as out:
        link.run(["sh", "-c", "setsid sleep 600 & echo $!"], stdout=out.fileno())
        left = psutil.Process(int((tmp_path / "out").read_text()))
        assert left.is_running()
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE


def test_a_link_that_breaks_ends_the_command() -> None:
    with Link(FAST) as link:
        with pytest.raises(LinkError, match="forwarder"):
            link.run(["sh", "-c", f"kill -9 {link.forwarder_pid}; sleep 600"])
        with pytest.raises(LinkError, match="forwarder"):
            link.counters()


def test_what_the_kernel_drops_is_seen() -> None:
    with Link(FAST) as link, open_ends(link, "up") as ends:
        forwarder = psutil.Process(link.forwarder_pid)
        forwarder.send_signal(signal.SIGSTOP)
        try:
            for number in range(100_500):
                ends.send(number, 10)
        finally:
            forwarder.send_signal(signal.SIGCONT)
        counters = link.settle().up
    assert counters.kernel_drops > 0
    assert counters.arrived_packets + counters.kernel_drops == 100_500


def test_a_congestion_control_that_the_kernel_has_not_is_refused() -> None:
    with (
        pytest.raises(HpsError, match="congestion control 'none-such'"),
        Link(LinkSettings(rtt_s=0, up_mbps=1, down_mbps=1, congestion_control="none-such")),
    ):
        sys.exit("it was taken")
