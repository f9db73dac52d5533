"""What a request's head says it is."""

from __future__ import annotations

import pytest

from hps.prove.http_head import RequestHead, parse_request, parse_response


def _request(line: str, *headers: str) -> RequestHead:
    return parse_request("\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode())


@pytest.mark.parametrize(
    ("line", "header", "kind", "direction"),
    [
        ("PUT /bucket/a/b.bin?x-id=PutObject", "A: b", "put", "up"),
        ("PUT /bucket/a?partNumber=3&uploadId=u&x-id=UploadPart", "A: b", "part", "up"),
        ("PUT /bucket/a?partNumber=3&uploadId=u", "x-amz-copy-source: /b/c", "control", "none"),
        ("PUT /bucket/a?acl", "A: b", "control", "none"),
        ("PUT /bucket", "A: b", "control", "none"),
        ("GET /bucket/a?x-id=GetObject", "A: b", "get", "down"),
        ("GET /bucket/a?x-id=GetObject", "Range: bytes=5-9", "range", "down"),
        ("GET /bucket/a?X-Amz-Signature=1&response-content-type=2", "A: b", "get", "down"),
        ("GET /bucket/a?uploadId=u", "A: b", "control", "none"),
        ("GET /bucket/a?tagging=", "A: b", "control", "none"),
        ("GET /bucket?list-type=2&prefix=a", "A: b", "control", "none"),
        ("GET /bucket/?location", "A: b", "control", "none"),
        ("GET /", "A: b", "control", "none"),
        ("HEAD /bucket/a", "A: b", "control", "none"),
        ("POST /bucket/a?uploads", "A: b", "control", "none"),
        ("DELETE /bucket/a", "A: b", "control", "none"),
    ],
)
def test_only_requests_that_carry_objects_bytes_are_data(
    line: str, header: str, kind: str, direction: str
) -> None:
    head = _request(line, header)
    assert (head.kind, head.direction) == (kind, direction)


def test_a_part_has_its_number_and_a_decoded_key() -> None:
    head = _request("PUT /bucket/a%20b/c%2Bd?partNumber=12&uploadId=u")
    assert (head.key, head.part_number) == ("a b/c+d", 12)


@pytest.mark.parametrize(
    ("value", "expected"), [("bytes=0-9", (0, 9)), ("bytes=7-", (7, None)), (None, None)]
)
def test_a_range_has_its_ends(value: str | None, expected: tuple[int, int | None] | None) -> None:
    assert _request("GET /b/k", *([f"Range: {value}"] if value else [])).range == expected


@pytest.mark.parametrize(
    ("method", "status", "header", "framing"),
    [
        ("GET", 200, "Content-Length: 5", "length"),
        ("GET", 200, "Transfer-Encoding: chunked", "chunked"),
        ("GET", 200, "A: b", "to_end"),
        ("GET", 304, "Content-Length: 5", "none"),
        ("DELETE", 204, "A: b", "none"),
        ("HEAD", 200, "Content-Length: 5", "none"),
    ],
)
def test_framing_follows_method_status_and_headers(
    method: str, status: int, header: str, framing: str
) -> None:
    head = parse_response(f"HTTP/1.1 {status} Text\r\n{header}\r\n\r\n".encode())
    assert head.framing(method) == framing
