"""How records are read."""

from __future__ import annotations

import pytest

from hps.prove.http_head import parse_request
from hps.prove.recorder import (
    Exchange,
    RequestRecorder,
    SeenRequest,
    connections,
    data_requests,
    peak_in_flight,
)


def _request(
    started_s: float, ended_s: float, *, line: str = "PUT /b/k", client_port: int = 1
) -> SeenRequest:
    head = parse_request(f"{line} HTTP/1.1\r\n\r\n".encode())
    exchange = Exchange(
        sequence=1, head=head, client_port=client_port, started_s=started_s, ended_s=ended_s
    )
    return exchange.done()


@pytest.mark.parametrize(
    ("intervals", "peak"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2)], 1),
        ([(0, 2), (1, 3)], 2),
        ([(0, 9), (1, 2), (3, 4), (3.5, 5)], 3),
        ([(5, 6), (0, 5.5), (0, 1)], 2),
    ],
)
def test_peak_counts_what_overlaps(intervals: list[tuple[float, float]], peak: int) -> None:
    assert peak_in_flight(_request(start, end) for start, end in intervals) == peak


def test_connections_are_distinct_client_ports() -> None:
    ports = (7, 8, 7, 9)
    assert connections(_request(0, 1, client_port=port) for port in ports) == 3


def test_data_requests_are_filtered_by_direction_and_key() -> None:
    lines = ("PUT /b/a/1.bin", "PUT /b/a/2.txt", "PUT /b/z/1.bin", "GET /b/a/1.bin", "HEAD /b/a/1")
    requests = [_request(0, 1, line=line) for line in lines]
    up = data_requests(requests, "up", prefix="a/", suffix=".bin")
    assert [request.key for request in up] == ["a/1.bin"]
    assert len(data_requests(requests, "up")) == 3
    assert [request.method for request in data_requests(requests, "down")] == ["GET"]


def test_records_wait_for_requests_under_way_and_are_in_order_of_their_heads() -> None:
    recorder = RequestRecorder()
    first = recorder.begin(parse_request(b"PUT /b/first HTTP/1.1\r\n\r\n"), 1)
    second = recorder.begin(parse_request(b"PUT /b/second HTTP/1.1\r\n\r\n"), 2)
    recorder.end(second)
    assert [request.key for request in recorder.requests(settle_s=0.0)] == ["second"]
    recorder.end(first)
    assert [request.key for request in recorder.requests()] == ["first", "second"]
    recorder.clear()
    assert recorder.requests() == ()
