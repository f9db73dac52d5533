"""Parts of the bandwidth probe that need no bucket."""

from __future__ import annotations

import importlib.util
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.catalog.failures import failure
from hps.model import ProbeSettings, SecretRef, Target
from hps.node.probe import speedtest, target
from hps.node.probe.target import Watch
from hps.process import process
from hps.process.sockets import SocketBytes
from hps.process.stop import SignalStop
from hps.targets.bucket import CallEnd, Link
from hps.tools import CLIENT
from tests.builders import S3
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

# A busy machine may stand still for seconds, which rightly makes a rate unknown.
_TRIES = 4


def _link(server: S3Server, scratch: Path, guard: process.Guard, folder: str) -> Link:
    probed = Target(
        name="s3",
        provider="other",
        bucket=server.bucket,
        folder=folder,
        endpoint=server.endpoint,
        force_path_style=True,
        access_key_id=SecretRef(env="KEY_ID"),
        secret_access_key=SecretRef(env="SECRET"),
    )
    return Link(
        target=probed,
        key="data/unit/20261122T101530123Z-5f3a9c/probe",
        binary=find_rclone(),
        secrets={"KEY_ID": server.access_key_id, "SECRET": server.secret_access_key},
        guard=guard,
        scratch=scratch,
        stop=SignalStop(),
    )


@pytest.mark.prove
@pytest.mark.parametrize("which", ["s3_server", "moto_server"])
def test_both_ways_of_a_fast_link_are_known_and_nothing_stays(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: S3Server = request.getfixturevalue(which)
    settings = ProbeSettings(duration_s=3.0, connections=4)
    for _ in range(_TRIES):
        told: list[str] = []
        with process.Guard() as guard:
            link = _link(server, tmp_path, guard, 'it\'s a "folder" of ours')
            rates = target.measure(link, settings, lambda name, told=told, **_: told.append(name))
        if rates.upload.mbps.value and rates.download.mbps.value:
            break

    for rate in (rates.upload, rates.download):
        assert isinstance(rate.mbps.value, float), rate.mbps.reason
        assert rate.mbps.value > 0
        assert len(rate.points) >= 3
    assert told == ["probe_started", "probe_started"]
    assert not (tmp_path / "probe").exists()


def test_a_run_that_is_stopped_is_no_measurement(s3_server: S3Server, tmp_path: Path) -> None:
    with process.Guard() as guard:
        link = _link(s3_server, tmp_path, guard, "stopped")
        assert isinstance(link.stop, SignalStop)
        link.stop.handle(15, None)
        rates = target.measure(link, ProbeSettings(), lambda *_, **__: None)

    upload = rates.upload.mbps
    assert (upload.value, upload.reason_code, upload.reason_owner) == (None, "stopped", "hps")
    assert "the run was stopped" in upload.reason


def test_a_complaint_of_the_tool_ends_the_watch(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    call = CLIENT.put_whole(S3, "/p", "k", at_once=1)
    watch = Watch(
        log=log,
        trouble_in=call.trouble,
        count=SocketBytes.sent_bytes,
        stop=SignalStop(),
        most_s=5,
    )
    assert not watch.is_set()
    complaint = {"level": "error", "msg": "it was\nrefused"}
    log.write_text(f"plain text\n{json.dumps(complaint)}\n")
    assert watch.is_set()
    assert watch.trouble == failure("tool_failed", "it was refused")


def test_heads_of_requests_are_no_payload_and_the_time_counts_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, moved = [100.0], [0]
    monkeypatch.setattr("hps.node.probe.target.time.monotonic", lambda: clock[-1])
    log = tmp_path / "log"
    log.write_bytes(b"")
    watch = Watch(
        log=log,
        trouble_in=lambda _: None,
        count=lambda _: moved[-1],
        stop=SignalStop(),
        most_s=2,
    )
    ended = process.Exit(ended="timeout", returncode=-9, started_at=datetime.now(UTC), duration_s=9)
    over = CallEnd(exit=ended, out=log, failure=failure("timeout", "it took too long"))

    for now_s in (100.0, 104.0, 108.0):
        clock.append(now_s)
        moved.append(moved[-1] + 500)
        watch.sample(os.getpid())
    assert not watch.is_set()
    nothing = watch.outcome(over).mbps
    assert nothing.reason == "no payload moved in 9 s"
    assert (nothing.reason_code, nothing.reason_owner) == ("timeout", "target")

    for now_s in (108.5, 109.0, 110.0, 110.5):
        clock.append(now_s)
        moved.append(moved[-1] + 10**6)
        watch.sample(os.getpid())
    assert watch.is_set()
    assert watch.outcome(over).points[0].t_s == 108.0
    assert watch.outcome(over).mbps.value is not None


def test_the_answer_of_speedtest_is_in_bits_a_second() -> None:
    rates = speedtest.parse('{"download": 439e6, "upload": 132e6, "ping": 12.1}')
    assert (rates.upload.mbps.value, rates.download.mbps.value) == (132.0, 439.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"download": null, "upload": 1}', "<html>"])
def test_what_speedtest_did_not_say_is_unknown(text: str) -> None:
    rates = speedtest.parse(text)
    assert rates.upload.mbps.value is None
    assert rates.upload.mbps.reason


def test_speedtest_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, s3_server: S3Server, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with process.Guard() as guard:
        rates = speedtest.measure(_link(s3_server, tmp_path, guard, "none"))
    assert rates.download.mbps.value is None
    assert "pip install 'hps[speedtest]'" in rates.download.mbps.reason
