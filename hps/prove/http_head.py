"""The heads of HTTP/1.1 requests and responses: kept as sent, and parsed for what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Framing = Literal["none", "length", "chunked", "to_end"]
# A request with any other name in its query is about something else than an object's bytes.
_DATA_QUERIES = frozenset({"x-id", "partNumber", "uploadId", "versionId"})
_DATA_QUERY_PREFIXES = ("X-Amz-", "response-")
Direction = Literal["up", "down", "none"]
Kind = Literal["part", "put", "range", "get", "control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """The head of a request; header names in lower case, `path` and `query` decoded."""

    raw: bytes
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def version(self) -> str:
        """`HTTP/1.1`, as the request's first line ends."""
        return self.raw.split(b"\r\n", 1)[0].rpartition(b" ")[2].decode("latin-1")

    @property
    def is_azure(self) -> bool:
        """A request to Azure's Blob Storage, whose account stands before the bucket in the path."""
        return "x-ms-version" in self.headers

    @property
    def key(self) -> str:
        """The object's key in its bucket (path style); empty for the bucket itself."""
        key = self.path.lstrip("/").partition("/")[2]
        return key.partition("/")[2] if self.is_azure else key

    @property
    def kind(self) -> Kind:
        """A part or object going up, a range or object coming down, or anything else."""
        if self.is_azure:
            return self._kind_of_azure()
        moves = self.key and all(map(_is_data_query, self.query))
        if self.method == "PUT" and moves and "x-amz-copy-source" not in self.headers:
            return "part" if "partNumber" in self.query else "put"
        if self.method == "GET" and moves and "uploadId" not in self.query:
            return "range" if "range" in self.headers else "get"
        return "control"

    def _kind_of_azure(self) -> Kind:
        about = self.query.get("comp", "")
        if not self.key or self.method not in {"PUT", "GET"} or about not in {"", "block"}:
            return "control"
        if self.method == "PUT":
            return "part" if about else "put"
        return "range" if self.range else "get"

    @property
    def direction(self) -> Direction:
        """Which way an object's bytes go; `none` for a control request."""
        if self.kind == "control":
            return "none"
        return "up" if self.kind in {"part", "put"} else "down"

    @property
    def part_number(self) -> int | None:
        """The number of the part that is sent; None for Azure's blocks, which have names."""
        number = self.query.get("partNumber", "")
        return int(number) if number and self.kind == "part" else None

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First and last byte asked for; the last is None for "to the end"."""
        asked = self.headers.get("x-ms-range", "") or self.headers.get("range", "")
        first, _, last = asked.removeprefix("bytes=").partition("-")
        return (int(first), int(last) if last else None) if first else None

    @property
    def expects_continue(self) -> bool:
        """The client waits for leave before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def closes(self) -> bool:
        """The client closes the connection after this."""
        return self.headers.get("connection", "").lower() == "close"

    @property
    def framing(self) -> Framing:
        """How the request's body is delimited."""
        return "none" if (framing := _framing(self.headers)) == "to_end" else framing

    @property
    def length(self) -> int:
        """Bytes of the body, as declared; 0 where nothing is."""
        return int(self.headers.get("content-length", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """The head of a response; header names in lower case."""

    raw: bytes
    status: int
    headers: Mapping[str, str]

    def framing(self, method: str) -> Framing:
        """How the body of the answer to a request with `method` is delimited."""
        if method == "HEAD" or self.status < 200 or self.status in {204, 304}:
            return "none"
        return _framing(self.headers)

    @property
    def length(self) -> int:
        """Bytes of the body, as declared; 0 where nothing is."""
        return int(self.headers.get("content-length", 0))

    @property
    def has_body(self) -> bool:
        """False where the head declares a body of no bytes."""
        return self.headers.get("content-length") != "0"

    @property
    def closes(self) -> bool:
        """The server closes the connection after this."""
        old = self.raw.startswith(b"HTTP/1.0")
        return self.headers.get("connection", "close" if old else "").lower() == "close"


def parse_request(raw: bytes) -> RequestHead:
    """Parse a request's head. Raises `ValueError` where it is not one."""
    first, headers = _split(raw)
    method, target, _ = first.split(" ", 2)
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return RequestHead(raw=raw, method=method, path=unquote(url.path), query=query, headers=headers)


def parse_response(raw: bytes) -> ResponseHead:
    """Parse a response's head. Raises `ValueError` where it is not one."""
    first, headers = _split(raw)
    return ResponseHead(raw=raw, status=int(first.split(" ", 2)[1]), headers=headers)


def _split(raw: bytes) -> tuple[str, Mapping[str, str]]:
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.lower(): value.strip() for name, _, value in pairs}


def _framing(headers: Mapping[str, str]) -> Framing:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return "chunked"
    return "length" if "content-length" in headers else "to_end"


def _is_data_query(name: str) -> bool:
    return name in _DATA_QUERIES or name.startswith(_DATA_QUERY_PREFIXES)
