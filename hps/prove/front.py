"""What stands before `rclone serve s3`: it records every request, and answers as S3 does.

A range comes with the status 200 for 206, which obstore takes for an error. The answer to the start
of a multipart upload has another name, in which awscrt finds no upload id. An object's attributes,
for which s3parcp asks, that server does not have.
"""

from __future__ import annotations

import ssl

from hps.prove.connection import ProxiedConnection
from hps.prove.http_head import Framing, RequestHead, ResponseHead, parse_response
from hps.prove.proxy import RecordingProxy
from hps.prove.recorder import Exchange, RequestRecorder

_LARGEST_ANSWER = 64 * 1024
_QUIET_S = 3.0
_NAME, _NAME_IN_S3 = b"InitiateMultipartUpload>", b"InitiateMultipartUploadResult>"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
_ATTRIBUTES = b"<GetObjectAttributesResponse/>"


class MendingConnection(ProxiedConnection):
    """Its answers are S3's. The bodies of requests are counted without what frames them."""

    def _serve_request(self, exchange: Exchange) -> bool:
        head = exchange.head
        if head.method != "GET" or "attributes" not in head.query:
            return super()._serve_request(exchange)
        self._client.sendall(_OK % len(_ATTRIBUTES) + _ATTRIBUTES)
        exchange.status, exchange.complete = 200, True
        return not head.closes

    def _return(self, exchange: Exchange, response: ResponseHead) -> Framing:
        head = exchange.head
        if head.method == "POST" and "uploads" in head.query and response.status == 200:
            return self._rename(exchange, response)
        exchange.up_bytes -= _framing_bytes(head)
        return super()._return(exchange, as_s3_answers(head, response))

    def _rename(self, exchange: Exchange, response: ResponseHead) -> Framing:
        """Pass on a short answer with the name that it has in S3."""
        if response.length > _LARGEST_ANSWER:
            raise ConnectionError("the start of an upload was answered at length")
        pieces: list[bytes] = []
        self._from_upstream.copy(response.length, lambda piece: pieces.append(bytes(piece)))
        body = b"".join(pieces).replace(_NAME, _NAME_IN_S3)
        exchange.status, exchange.complete = response.status, True
        self._client.sendall(_with_length(response.raw, len(body)) + body)
        return "length"


class Front(RecordingProxy):
    """A recording proxy for an upstream that is no full S3.

    Where it waits for requests to gather, it does so until none has come for `quiet_s`.
    """

    connection = MendingConnection

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        host: str = "127.0.0.1",
        quiet_s: float = _QUIET_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(upstream_host, upstream_port, host=host, tls=tls)
        self.recorder = RequestRecorder(quiet_s=quiet_s)

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead programs through it: none, for it is reached by its address."""
        return {}


def _framing_bytes(head: RequestHead) -> int:
    """What `aws-chunked` puts around the payload of a body: sizes, a checksum."""
    payload = head.headers.get("x-amz-decoded-content-length")
    return head.length - int(payload) if payload is not None and head.length else 0


def as_s3_answers(request: RequestHead, response: ResponseHead) -> ResponseHead:
    """The head of an answer; that to a range has the status 206."""
    if "range" not in request.headers or response.status != 200:
        return response
    if "content-range" not in response.headers:
        return response
    _, _, rest = response.raw.partition(b"\r\n")
    return parse_response(b"HTTP/1.1 206 Partial Content\r\n" + rest)


def _with_length(raw: bytes, length: int) -> bytes:
    lines = raw.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join([*kept, b"Content-Length: %d" % length, b"", b""])
