"""What stands before `rclone serve s3`, and answers as S3 does where that server does not.

A range comes with the status 200 for 206, which obstore takes for an error. The answer to the start
of a multipart upload has another name, in which awscrt finds no upload id. An object's attributes,
for which s3parcp asks, it does not have.
"""

from __future__ import annotations

from itertools import count

from tests.servers.faults import Action, Respond, Rule, slow_down
from tests.servers.http_head import Framing, RequestHead, ResponseHead, parse_response
from tests.servers.proxied_connection import ProxiedConnection
from tests.servers.proxy import RecordingProxy
from tests.servers.recorder import Exchange

_LARGEST_ANSWER = 64 * 1024
_NAME, _NAME_IN_S3 = b"InitiateMultipartUpload>", b"InitiateMultipartUploadResult>"
_ONE_IN = 100
_NO_ATTRIBUTES = Respond(status=200, body=b"<GetObjectAttributesResponse/>")


def rules(*, unkind: bool) -> list[Rule]:
    """What is answered in the server's place.

    `unkind`: a `503 SlowDown` to every hundredth request with an object's bytes, either way.
    """
    attributes = Rule(
        match=lambda head: "attributes" in head.query, action=_NO_ATTRIBUTES, times=None
    )
    return [attributes, *([_one_in_a_hundred()] if unkind else [])]


def _one_in_a_hundred() -> Rule:
    numbers = count(1)

    def match(head: RequestHead) -> bool:
        return head.kind != "control" and next(numbers) % _ONE_IN == 0

    return slow_down(times=None, match=match)


class _Connection(ProxiedConnection):
    def _return(self, exchange: Exchange, response: ResponseHead, action: Action | None) -> Framing:
        head = exchange.head
        if head.method == "POST" and "uploads" in head.query and response.status == 200:
            return self._rename(exchange, response)
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
    """A proxy for an upstream that is no full S3."""

    connection = _Connection


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
