"""Removing what a run left: a server that fails is asked again, one that hangs only once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.model import SecretRef, Target
from hps.process.process import Guard
from hps.targets import cleanup
from hps.targets.bucket import Link
from tests.conftest import ProxyFor
from tests.faults.trials import always, sweep
from tests.servers.faults import Action, Respond, Rule, Stall
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server

_KEY = "data/e/20261122T101530123Z-5f3a9c"


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard() as running:
        yield running


def _link(proxy: RecordingProxy, guard: Guard, rclone_path: str, folder: Path) -> Link:
    target = Target(
        name="s3",
        provider="other",
        endpoint=proxy.endpoint,
        bucket="bucket",
        folder="tests",
        access_key_id=SecretRef(env="ID"),
        secret_access_key=SecretRef(env="SECRET"),
        force_path_style=True,
    )
    return Link(
        target=target,
        key=_KEY,
        binary=rclone_path,
        secrets={"ID": "an-id", "SECRET": "a-secret"},
        guard=guard,
        scratch=folder,
        stop=threading.Event(),
    )


@pytest.mark.parametrize(
    ("action", "timeout_s", "said", "tries"),
    [
        (Stall(seconds=600), 3.0, "it took more than 3 s", 1),
        (Respond(status=400, body=b"<Error><Code>Other</Code></Error>"), 60.0, "answered 400", 3),
    ],
    ids=["hangs", "fails"],
)
def test_all_tries_together_have_one_time_out(
    action: Action,
    timeout_s: float,
    said: str,
    tries: int,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    guard: Guard,
    rclone_path: str,
    tmp_path: Path,
) -> None:
    rule = Rule(match=lambda _: True, action=action, times=None)
    proxy = proxy_for(s3_server, rules=(rule,))
    link, told = _link(proxy, guard, rclone_path, tmp_path), []

    done = cleanup.remove(
        link,
        timeout_s=timeout_s,
        stop=link.stop,
        event=lambda name, **fields: told.append((name, fields["what"], fields["reason"])),
    )

    assert not done
    assert [one[:2] for one in told] == [("clean_up_failed", what) for what in cleanup.ALL]
    assert all(said in reason for _, _, reason in told), told
    assert 0 < proxy.recorder.begun() <= tries * len(cleanup.ALL)


def test_what_stays_is_named_once(s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path) -> None:
    """The first trial's objects are tried again at the end, with those of the last one."""
    refused = Respond(status=403, body=b"<Error><Code>Other</Code></Error>")
    proxy = proxy_for(s3_server, rules=(always(lambda head: head.method == "DELETE", refused),))

    swept = sweep(
        *(tmp_path, s3_server, proxy_for), proxy=proxy, trials=2, name="stays", steps="[upload]"
    )

    assert swept.ran.code == 0, swept.ran.err
    assert swept.ran.err.count('"clean_up_failed"') == 2
    remark = swept.ran.err.splitlines()[-1]
    assert re.search(r"`hps clean` lists it: data/stays/[^/ ]+ \(objects\): .*403", remark), remark
    assert "more" not in remark
