from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from statistics import median

import pytest

from hps.errors import HpsError
from hps.model import Unknown
from hps.node.rtt import Endpoint, Rtt, measure_all, measure_rtt, parse_endpoint


@pytest.fixture
def open_port() -> Iterator[int]:
    """A port whose queue takes connections; nobody has to accept them."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that no other program listens on it, and refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_a_listener_on_this_machine(open_port: int) -> None:
    rtt = measure_rtt("127.0.0.1", open_port)
    assert isinstance(rtt, Rtt)
    assert len(rtt.samples_s) == 10
    assert rtt.failures == 0
    assert rtt.address == "127.0.0.1"
    assert rtt.median_s == median(rtt.samples_s) > 0
    assert rtt.jitter_s == median(abs(b - a) for a, b in pairwise(rtt.samples_s))


def test_one_sample_has_no_jitter(open_port: int) -> None:
    rtt = measure_rtt("127.0.0.1", open_port, samples=1)
    assert isinstance(rtt, Rtt)
    assert rtt.jitter_s is None


def test_a_closed_port_is_unknown(closed_port: int) -> None:
    rtt = measure_rtt("127.0.0.1", closed_port)
    assert rtt == Unknown(reason=f"127.0.0.1:{closed_port}: Connection refused")


def test_a_name_that_does_not_exist_is_unknown() -> None:
    rtt = measure_rtt("nowhere.invalid", 443)
    assert isinstance(rtt, Unknown)
    assert rtt.reason.startswith("nowhere.invalid: ")


def test_a_listener_that_takes_no_more_is_unknown() -> None:
    """With its queue full, Linux drops what asks to connect, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            rtt = measure_rtt("127.0.0.1", port, timeout_s=0.05)
    assert rtt == Unknown(reason=f"127.0.0.1:{port}: no answer in 0.05 s")


@pytest.mark.parametrize(("queue_length", "answered"), [(2, 3), (3, 4)])
def test_fewer_than_half_are_too_few(queue_length: int, answered: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=queue_length) as server:
        port = server.getsockname()[1]
        rtt = measure_rtt("127.0.0.1", port, timeout_s=0.05)
    why = f"only {answered} of 10 connects: no answer in 0.05 s"
    assert rtt == Unknown(reason=f"127.0.0.1:{port}: {why}")


def test_failures_are_counted_beside_enough_samples() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as server:
        rtt = measure_rtt("127.0.0.1", server.getsockname()[1], timeout_s=0.05)
    assert isinstance(rtt, Rtt)
    assert (len(rtt.samples_s), rtt.failures) == (6, 3)


def test_without_time_there_is_no_answer(open_port: int) -> None:
    rtt = measure_rtt("127.0.0.1", open_port, budget_s=0.0)
    assert isinstance(rtt, Unknown)


def test_hosts_are_measured_side_by_side(open_port: int, closed_port: int) -> None:
    texts = [f"http://127.0.0.1:{open_port}/bucket", f"127.0.0.1:{closed_port}", "nowhere.invalid"]
    measured = measure_all([*texts, "127.0.0.1:x", texts[0]])
    assert list(measured) == [*texts, "127.0.0.1:x"]
    good, refused, nameless, unreadable = measured.values()
    assert isinstance(good, Rtt)
    assert all(isinstance(rtt, Unknown) for rtt in (refused, nameless, unreadable))
    assert asdict(refused) == {"reason": f"127.0.0.1:{closed_port}: Connection refused"}


def test_no_hosts_no_answers() -> None:
    assert measure_all([]) == {}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("ec2.us-east-1.amazonaws.com", "ec2.us-east-1.amazonaws.com", 443),
        ("host:9000", "host", 9000),
        ("https://acc.r2.cloudflarestorage.com/x", "acc.r2.cloudflarestorage.com", 443),
        ("http://user:pw@host/x", "host", 80),
        ("http://127.0.0.1:9000", "127.0.0.1", 9000),
        ("::1", "::1", 443),
        ("[::1]:9000", "::1", 9000),
        ("https://[::1]", "::1", 443),
    ],
)
def test_endpoints(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host=host, port=port)


@pytest.mark.parametrize(
    "text", ["", "https://", "host:0", "host:x", "host:70000", "ftp://host", "http://[x"]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(HpsError) as caught:
        parse_endpoint(text)
    assert caught.value.hint
