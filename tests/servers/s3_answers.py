"""Answers that S3 servers give to an operator's mistake, and the calls that they give them to.

They stand in front of a real server: what a mistake does not touch is served as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from hps.model import Owner
from hps.prove.http_head import RequestHead
from tests.servers.faults import Respond, Rule

_OF_BUCKET: Mapping[str, str] = {
    "GET": "ListObjectsV2",
    "HEAD": "HeadBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
}
_OF_OBJECT: Mapping[str, str] = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}
_OF_UPLOAD: Mapping[str, str] = {
    "GET": "ListParts",
    "PUT": "UploadPart",
    "POST": "CompleteMultipartUpload",
    "DELETE": "AbortMultipartUpload",
}


def call_of(head: RequestHead) -> str:
    """The request's name in the S3 API; empty where it has none here. Paths name the bucket.

    `ListObjects` is `ListObjectsV2` too: one right allows both.
    """
    if "uploads" in head.query:
        return "ListMultipartUploads" if head.method == "GET" else "CreateMultipartUpload"
    if "uploadId" in head.query:
        return _OF_UPLOAD.get(head.method, "")
    if "delete" in head.query:
        return "DeleteObjects"
    if "location" in head.query:
        return "GetBucketLocation"
    if "x-amz-copy-source" in head.headers:
        return "CopyObject"
    return (_OF_OBJECT if head.key else _OF_BUCKET).get(head.method, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is answered to `calls` (none named: to all), and how that must be understood.

    `code` and `owner` are those of the failure; `says` is a word that a person must be told.
    """

    name: str
    provider: str
    code: str
    owner: Owner
    answer: Respond
    calls: tuple[str, ...] = ()
    says: str = ""

    def rule(self, *, times: int | None = None) -> Rule:
        """The mistake as a rule of a proxy."""
        return Rule(match=self._befalls, action=self.answer, times=times)

    def _befalls(self, head: RequestHead) -> bool:
        return not self.calls or call_of(head) in self.calls


def refusal(status: int, code: str, message: str = "", **more: str) -> Respond:
    """A refusal as S3 has it: an XML text with a code, and what `more` an error has in it."""
    elements = {"Code": code, **({"Message": message} if message else {}), **more}
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}<RequestId>A1B2</RequestId></Error>'
    )
    return Respond(status=status, body=body.encode(), headers={"Content-Type": "application/xml"})


def hides_missing_keys(denied: Respond) -> Rule:
    """Every HEAD of a key that nobody has put is `denied`: so a policy that bars from listing."""
    put: set[str] = set()

    def hidden(head: RequestHead) -> bool:
        if call_of(head) in {"PutObject", "CompleteMultipartUpload"}:
            put.add(head.key)
        return call_of(head) == "HeadObject" and head.key not in put

    return Rule(match=hidden, action=denied, times=None)
