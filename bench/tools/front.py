"""What stands before `rclone serve s3`: it answers as S3 does, or is unkind now and then."""

from __future__ import annotations

from itertools import count

from hps.prove.front import MendingConnection
from hps.prove.http_head import RequestHead
from tests.servers.faults import Rule, slow_down
from tests.servers.proxied_connection import FaultyConnection
from tests.servers.proxy import RecordingProxy

_ONE_IN = 100


def rules(*, unkind: bool) -> list[Rule]:
    """`unkind`: a `503 SlowDown` to every hundredth request with an object's bytes, either way."""
    return [_one_in_a_hundred()] if unkind else []


def _one_in_a_hundred() -> Rule:
    numbers = count(1)

    def match(head: RequestHead) -> bool:
        return head.kind != "control" and next(numbers) % _ONE_IN == 0

    return slow_down(times=None, match=match)


class _Connection(MendingConnection, FaultyConnection):
    """It has the faults of tests, too."""


class Front(RecordingProxy):
    """A proxy for an upstream that is no full S3."""

    connection = _Connection
