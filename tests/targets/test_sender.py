"""An outage of the results' bucket only delays them: each kind of it, one sender at a time."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import cast

import psutil
import pytest

from hps.catalog.failures import failure
from hps.model import Failure, SecretRef, Target
from hps.process.process import Guard
from hps.targets import sender
from hps.targets.sender import SILENT_S, BucketCopy
from hps.tools import serve_courier
from hps.tools.client import Courier
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Flip, Relabel, Reset, Respond, Rule, Stall
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_FOREVER_S = 600.0
_PATIENCE_S = 60.0
_ERROR = b"<Error><Code>InternalError</Code><Message>We are sorry.</Message></Error>"


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard() as running:
        yield running


def _target(endpoint: str, server: S3Server) -> Target:
    return Target(
        name="store",
        provider="other",
        endpoint=endpoint,
        bucket=server.bucket,
        folder="sent",
        access_key_id=SecretRef(env="ID"),
        secret_access_key=SecretRef(env="SECRET"),
        force_path_style=True,
    )


class Sending:
    """A sender through a proxy, what it has reported, and what is in the bucket."""

    def __init__(
        self, running: Courier, proxy: RecordingProxy, server: S3Server, folder: Path
    ) -> None:
        self.daemon, self.proxy, self.server = running, proxy, server
        self.reported: list[tuple[str, str]] = []
        self.journal = folder / f"{folder.name}.jsonl"
        self.bucket = BucketCopy(
            running, "run", lambda name, why: self.reported.append((name, why)), interval_s=0.0
        )

    def write(self, text: str) -> None:
        self.journal.write_text(text)

    def stored(self, name: str = "") -> str:
        place = f"T:{self.server.bucket}/sent/run/{name or self.journal.name}"
        env = remote_environment(self.server)
        return run_rclone(["cat", place], env=env, check=False).stdout

    def age_s(self) -> float:
        """How old the journal in the bucket is, as a start elsewhere sees it."""
        place = f"T:{self.server.bucket}/sent/run/{self.journal.name}"
        told = run_rclone(["lsjson", place], env=remote_environment(self.server)).stdout
        (found,) = json.loads(told)
        return time.time() - datetime.fromisoformat(found["ModTime"]).timestamp()

    def store(self, text: str) -> None:
        """As another machine does it that goes on with the same run."""
        other = self.journal.with_name("other")
        other.write_text(text)
        place = f"T:{self.server.bucket}/sent/run/{self.journal.name}"
        run_rclone(["copyto", str(other), place], env=remote_environment(self.server))


SendingTo = Callable[[RecordingProxy], AbstractContextManager[Sending]]


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    """The server behind the proxy."""
    return s3_server


@pytest.fixture
def sending_to(rclone_path: str, server: S3Server, guard: Guard, tmp_path: Path) -> SendingTo:
    """A sender to a proxy in front of the server."""
    scratch, folder = tmp_path / "scratch", tmp_path
    scratch.mkdir()
    secrets = {"ID": server.access_key_id, "SECRET": server.secret_access_key}

    @contextmanager
    def start(proxy: RecordingProxy) -> Iterator[Sending]:
        target = _target(proxy.endpoint, server)
        with serve_courier(target, scratch, rclone_path, secrets, guard) as running:
            yield Sending(running, proxy, server, folder)

    return start


@pytest.fixture
def hanging(s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo) -> Iterator[Sending]:
    """With a file to send to a bucket that takes requests and answers none."""
    proxy = proxy_for(s3_server, rules=(_outage(Stall(seconds=_FOREVER_S)),))
    with sending_to(proxy) as sending:
        sending.write("one\n")
        yield sending


def _never(_: float) -> bool:
    return False


def _outage(action: Action) -> Rule:
    return Rule(match=lambda _: True, action=action, times=None)


@pytest.mark.prove
@pytest.mark.parametrize(
    "action",
    [
        Reset(),
        Respond(status=500, body=_ERROR),
        Respond(status=503, body=b"<html>busy</html>", headers={"Content-Type": "text/html"}),
        Respond(status=403, body=b"<Error><Code>AccessDenied</Code></Error>"),
        Respond(status=404, body=b"<Error><Code>NoSuchBucket</Code></Error>"),
    ],
    ids=["reset", "500", "503", "403", "404"],
)
def test_what_an_outage_held_up_is_sent_once_it_is_over(
    action: Action, s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    proxy = proxy_for(s3_server)
    with sending_to(proxy) as sending:
        sending.write("one\n")
        sending.bucket.send_now_and_then(sending.journal)
        proxy.rules.append(_outage(action))
        sending.write("one\ntwo\n")
        sending.bucket.send_now_and_then(sending.journal)
        assert sending.stored() == "one\n"
        proxy.rules.clear()
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        assert sending.stored() == "one\ntwo\n"

    assert [name for name, _ in sending.reported] == ["results_delayed"]


def test_a_port_that_refuses_for_a_time_only_delays(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    proxy = proxy_for(s3_server)
    with sending_to(proxy) as sending:
        sending.write("one\n")
        with proxy.refusing():
            sending.bucket.send_now_and_then(sending.journal)
        assert [name for name, _ in sending.reported] == ["results_delayed"]
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        assert sending.stored() == "one\n"


def test_a_bucket_that_hangs_takes_no_more_than_was_saved_for_it(hanging: Sending) -> None:
    hanging.bucket.timeout_s = 0.5
    hanging.bucket.send_now_and_then(hanging.journal)
    tried = hanging.proxy.recorder.begun()
    assert tried > 0
    hanging.bucket._saved_s = 0.0  # it may take a twentieth of the time from here on
    for _ in range(100):
        hanging.bucket.send_now_and_then(hanging.journal)
    assert hanging.proxy.recorder.begun() == tried

    assert [name for name, _ in hanging.reported] == ["results_delayed"]
    assert "no answer within 500 ms" in hanging.reported[0][1]


class _Daemon:
    """A sender in whose time nothing else moves: each file takes so long, or all that it may."""

    restarts = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.takes_s = time.monotonic(), 0.5
        self.tried_s: list[float] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)

    def copy(self, *_: object, timeout_s: float, **__: object) -> Failure | None:
        in_time = self.takes_s < timeout_s
        took_s = self.takes_s if in_time else timeout_s + 0.001
        self.tried_s.append(took_s)
        self.now_s += took_s
        return None if in_time else failure("timeout", "no answer")

    def sends(self, bucket: BucketCopy, tries: int, journal: Path) -> list[float]:
        """How long each sending took, looked for every tenth of a second as a run goes on."""
        self.tried_s.clear()
        while len(self.tried_s) < tries:
            self.now_s += 0.1
            bucket.send_now_and_then(journal)
        return self.tried_s


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> _Daemon:
    return _Daemon(monkeypatch)


def _timed(daemon: _Daemon) -> BucketCopy:
    running = cast(Courier, daemon)
    return BucketCopy(running, "run", lambda *_: None, interval_s=0.0)


def test_sending_takes_a_twentieth_of_a_run(daemon: _Daemon, tmp_path: Path) -> None:
    bucket, began_s = _timed(daemon), daemon.now_s
    took_s = sum(daemon.sends(bucket, 200, tmp_path / "r.jsonl"))

    saved_at_first_s = 5.0
    share = (took_s - saved_at_first_s) / (daemon.now_s - began_s)
    assert share == pytest.approx(1 / 20, rel=0.03)


def test_what_hung_waits_until_twice_as_much_is_saved(daemon: _Daemon, tmp_path: Path) -> None:
    bucket, journal = _timed(daemon), tmp_path / "r.jsonl"
    daemon.takes_s = 600.0
    hung_s = daemon.sends(bucket, 6, journal)
    assert hung_s == pytest.approx([5, 2, 4, 8, 10, 10], abs=0.1)

    daemon.takes_s = 0.1  # the bucket is back: what is saved is little again
    daemon.sends(bucket, 3, journal)
    daemon.takes_s = 600.0
    daemon.sends(bucket, 1, journal)
    assert daemon.sends(bucket, 2, journal) == pytest.approx([2, 4], abs=0.1)


def test_nothing_of_a_copy_that_was_given_up_goes_on(hanging: Sending) -> None:
    """Or else it would run beside a measured operation, and could replace a newer file."""

    def is_cut_off() -> bool:
        return bool(_connections_to(hanging.proxy))

    why = hanging.daemon.copy(hanging.journal, "run/x", timeout_s=_FOREVER_S, is_cut_off=is_cut_off)

    assert why == failure("stopped", "cut off, for the run was stopped")
    _wait_for(lambda: not _connections_to(hanging.proxy))


def test_a_stop_cuts_a_sending_off(hanging: Sending) -> None:
    stop = threading.Event()
    hanging.bucket.stop, hanging.bucket.stopped_s = stop, 0.3
    hanging.bucket.timeout_s = _FOREVER_S
    threading.Timer(0.3, stop.set).start()

    why = hanging.bucket.send_all([hanging.journal] * 3, wait=stop.wait)

    assert why == "cut off, for the run was stopped"


def test_the_last_sending_may_be_bounded(hanging: Sending) -> None:
    hanging.bucket.timeout_s = _FOREVER_S

    why = hanging.bucket.send_all([hanging.journal] * 3, wait=_never, most_s=0.5)

    assert why.startswith("no answer within ")


def test_a_sender_that_was_killed_is_started_again(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        _kill_sender()
        sending.write("one\ntwo\n")
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        assert sending.stored() == "one\ntwo\n"

    assert [name for name, _ in sending.reported] == ["results_sender_restarted"]
    assert _senders() == []


def test_a_sender_that_dies_again_and_again_is_given_up(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        for _ in range(5):
            _kill_sender()
            assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        _kill_sender()
        why = sending.bucket.send_all([sending.journal], wait=lambda _: True)

    assert why == "the rclone that sends results died or hung 6 times"


class TestChangedOnItsWay:
    """A server that takes what does not fit its checksum, and tells the checksum of what came."""

    @pytest.fixture
    def server(self, moto_server: S3Server) -> S3Server:
        return moto_server

    @pytest.mark.parametrize("action", [Flip(), Flip(at=5)], ids=["first byte", "sixth byte"])
    def test_it_is_sent_again_at_once(
        self, action: Action, server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
    ) -> None:
        proxy = proxy_for(server)
        with sending_to(proxy) as sending:
            sending.write("one\n")
            assert sending.bucket.send_all([sending.journal], wait=_never) == ""
            proxy.rules.append(Rule(match=lambda head: head.method == "PUT", action=action))
            sending.write("one\ntwo\n")
            sending.bucket.send_now_and_then(sending.journal)
            assert sending.stored() == "one\ntwo\n"

        assert sending.reported == []

    def test_what_came_changed_each_time_is_ours_all_the_same(
        self, server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
    ) -> None:
        changed = Rule(match=lambda head: head.method == "PUT", action=Flip(), times=3)
        with sending_to(proxy_for(server, rules=(changed,))) as sending:
            sending.write("one\n")
            why = sending.bucket.send_all([sending.journal], wait=lambda _: True)
            assert why.startswith("the bucket has 4 bytes with the md5")
            sending.write("one\ntwo\n")
            assert sending.bucket.send_all([sending.journal], wait=_never) == ""
            assert sending.stored() == "one\ntwo\n"

        assert sending.reported == []

    def test_a_server_that_tells_another_checksum_keeps_what_it_has(
        self, server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
    ) -> None:
        tag = Relabel(headers={"ETag": f'"{"0" * 32}"'})
        rule = Rule(match=lambda head: head.method == "HEAD", action=tag, times=None)
        proxy = proxy_for(server, rules=(rule,))
        with sending_to(proxy) as sending:
            sending.write("one\n")
            why = sending.bucket.send_all([sending.journal], wait=lambda _: True)
            assert sending.stored() == "one\n"

        assert why.startswith("the bucket has 4 bytes with the md5 0000")


def test_a_sender_that_hangs_is_replaced(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    """It is stopped, not dead: it takes calls and answers none, whatever the bucket does."""
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        (hung,) = _senders()
        os.kill(hung.pid, signal.SIGSTOP)
        sending.bucket.timeout_s = 1.0
        sending.bucket.send_now_and_then(sending.journal)
        sending.bucket.timeout_s = _PATIENCE_S
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        assert sending.stored() == "one\n"

        assert not hung.is_running()
        assert len(_senders()) == 1

    assert [name for name, _ in sending.reported] == [
        "results_sender_restarted",
        "results_delayed",
    ]


def test_a_sender_that_hangs_again_and_again_is_given_up(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        sending.daemon.restarts = 5
        (hung,) = _senders()
        os.kill(hung.pid, signal.SIGSTOP)
        sending.bucket.timeout_s = 1.0
        why = sending.bucket.send_all([sending.journal], wait=lambda _: True)

    assert why == "the rclone that sends results died or hung 6 times"


def test_a_bucket_that_hangs_is_not_the_senders_fault(hanging: Sending) -> None:
    hanging.bucket.timeout_s = 0.5
    senders = _senders()

    hanging.bucket.send_now_and_then(hanging.journal)

    assert _senders() == senders
    assert hanging.daemon.restarts == 0


def _senders() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "rcd" in child.cmdline()]


def _kill_sender() -> None:
    (sender,) = _senders()
    os.kill(sender.pid, signal.SIGKILL)
    _wait_for(lambda: sender.status() == psutil.STATUS_ZOMBIE)


def _connections_to(proxy: RecordingProxy) -> list[int]:
    port = int(proxy.endpoint.rpartition(":")[2])
    return [
        connection.fd
        for sender in _senders()
        for connection in sender.net_connections("tcp")
        if connection.raddr and connection.raddr.port == port
    ]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("theirs", ["one\nother\n", "one\ntwo\nthree\nfour\n", "o"])
def test_what_another_start_of_the_run_sent_is_never_overwritten(
    theirs: str, s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    """Their journal is no beginning of ours, unless they had stored less of the same lines."""
    ours, table = "one\ntwo\nthree\n", "a,b\n"
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\ntwo\n")
        sending.bucket.send_now_and_then(sending.journal)
        sending.store(theirs)
        sending.write(ours)
        sending.journal.with_suffix(".csv").write_text(table)
        paths = [sending.journal, sending.journal.with_suffix(".csv")]

        assert sending.bucket.send_all(paths, wait=_never) == ""
        assert sending.bucket.send_all(paths, wait=_never) == ""

        aside = "" if theirs == "o" else sending.bucket.beside
        assert sending.stored() == (theirs if aside else ours)
        assert sending.stored(f"{sending.journal.stem}{aside}.jsonl") == ours
        assert sending.stored(f"{sending.journal.stem}{aside}.csv") == table
    assert [name for name, _ in sending.reported] == ["results_of_another_start"] * bool(aside)


_YEAR_S = 365 * 86400.0


def _age(journal: Path) -> None:
    """As if its last line had been written a year ago."""
    then_s = time.time() - _YEAR_S
    os.utime(journal, (then_s, then_s))


def test_a_journal_is_renewed_while_nothing_else_is_sent(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    """A start elsewhere goes by its age: within one long operation the run would seem dead."""
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        _age(sending.journal)
        sending.bucket.send_now_and_then(sending.journal)
        assert sending.age_s() > _YEAR_S / 2
        sending.bucket.renew_s = 0.2
        with sending.bucket.renewed(sending.journal):
            _wait_for(lambda: sending.age_s() < _PATIENCE_S)
            renewed = sending.proxy.recorder.begun()
            _wait_for(lambda: sending.proxy.recorder.begun() > renewed)
        over = sending.proxy.recorder.begun()
        assert sending.stored() == "one\n"
        time.sleep(5 * sending.bucket.renew_s)
        assert sending.proxy.recorder.begun() == over

    assert sending.reported == []


def test_what_is_sent_often_enough_is_not_renewed(
    s3_server: S3Server,
    proxy_for: ProxyFor,
    sending_to: SendingTo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "_LOOKS", 100 * _PATIENCE_S)
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("one\n")
        assert sending.bucket.send_all([sending.journal], wait=_never) == ""
        sent = sending.proxy.recorder.begun()
        assert sending.bucket.renew_s == SILENT_S / 3
        sending.bucket.renew_s = _PATIENCE_S
        with sending.bucket.renewed(sending.journal):
            time.sleep(0.5)
        assert sending.proxy.recorder.begun() == sent


def test_a_journal_without_a_line_is_not_sent(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write("")
        sending.bucket.renew_s = 0.02
        with sending.bucket.renewed(sending.journal):
            time.sleep(0.5)
        assert sending.proxy.recorder.begun() == 0


def test_a_journal_that_was_removed_is_renewed_once_it_is_back(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    with sending_to(proxy_for(s3_server)) as sending:
        sending.bucket.renew_s = 0.2
        with sending.bucket.renewed(sending.journal):
            _wait_for(lambda: bool(sending.reported))
            sending.write("one\n")
            _wait_for(lambda: sending.stored() == "one\n")

    assert {name for name, _ in sending.reported} == {"results_delayed"}


def test_a_renewal_makes_way_for_the_run(hanging: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else it would have all the time that was saved."""
    bucket, saved_s = hanging.bucket, 30.0
    monkeypatch.setattr(sender, "_MOST_SAVED_S", saved_s)
    bucket.renew_s, bucket._saved_s = 0.02, saved_s
    with bucket.renewed(hanging.journal):
        _wait_for(lambda: hanging.proxy.recorder.begun() > 0)
        with bucket.paused():
            assert bucket._saved_s > saved_s / 2
            _wait_for(lambda: not _connections_to(hanging.proxy))
            tried = hanging.proxy.recorder.begun()
            time.sleep(0.5)
            assert hanging.proxy.recorder.begun() == tried

    assert hanging.reported == []


def test_a_bucket_that_hangs_is_not_renewed_more_often_than_was_saved_for(hanging: Sending) -> None:
    hanging.bucket.timeout_s = 0.2
    hanging.bucket.renew_s = 0.02
    hanging.bucket._saved_s = 1.0
    with hanging.bucket.renewed(hanging.journal):
        _wait_for(lambda: bool(hanging.reported))
        tried = hanging.proxy.recorder.begun()
        time.sleep(1.0)
        assert hanging.proxy.recorder.begun() == tried

    assert [name for name, _ in hanging.reported] == ["results_delayed"]


def test_a_renewal_overwrites_nothing_of_another_start(
    s3_server: S3Server, proxy_for: ProxyFor, sending_to: SendingTo
) -> None:
    theirs, ours = "one\nother\n", "one\ntwo\n"
    with sending_to(proxy_for(s3_server)) as sending:
        sending.write(ours)
        sending.store(theirs)
        sending.bucket.renew_s = 0.2
        aside = f"{sending.journal.stem}{sending.bucket.beside}.jsonl"
        with sending.bucket.renewed(sending.journal):
            _wait_for(lambda: sending.stored(aside) == ours)
        assert sending.stored() == theirs

    assert [name for name, _ in sending.reported] == ["results_of_another_start"]
