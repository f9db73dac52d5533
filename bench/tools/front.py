"""What stands before `rclone serve s3`: it records every request, and answers as S3 does.

In two things that server differs, and some tools insist on them: a range comes with the status 200
for 206, and the answer to the start of a multipart upload has another name.
"""

from __future__ import annotations

import time

from tests.servers.faults import Action
from tests.servers.http_head import Framing, RequestHead, ResponseHead, parse_response
from tests.servers.proxied_connection import ProxiedConnection
from tests.servers.proxy import RecordingProxy
from tests.servers.recorder import Exchange, Recorder

_LARGEST_ANSWER = 64 * 1024
_NAME, _NAME_IN_S3 = b"InitiateMultipartUpload>", b"InitiateMultipartUploadResult>"


class PatientRecorder(Recorder):
    """Waits for a peak as long as further data requests come, and no longer.

    Some tools ask for one part first and for the others once they have it: a proxy that waits for
    all of them to be in flight would wait in vain.
    """

    quiet_s = 3.0
    """How long no further data request has to have come."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s = 0.0

    def begin(self, head: RequestHead, client_port: int) -> Exchange:
        """Count a request whose head has just been read."""
        if head.kind != "control":
            self._last_s = time.monotonic()
        return super().begin(head, client_port)

    def wait_for_data_peak(self, count: int, timeout_s: float) -> None:
        """Return once `count` data requests have been under way at once, or no more come."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._released and self._data_peak < count:
                left_s = min(deadline_s, self._last_s + self.quiet_s) - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)


class _Connection(ProxiedConnection):
    def _return(self, exchange: Exchange, response: ResponseHead, action: Action | None) -> Framing:
        head = exchange.head
        if head.method == "POST" and "uploads" in head.query and response.status == 200:
            return self._rename(exchange, response)
        exchange.up_bytes -= _framing_bytes(head)
        return super()._return(exchange, as_s3_answers(head, response), action)

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
    """A recording proxy for an upstream that is no full S3."""

    connection = _Connection

    def __init__(self, upstream_host: str, upstream_port: int, *, host: str) -> None:
        super().__init__(upstream_host, upstream_port, host=host)
        self.recorder = PatientRecorder()


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
