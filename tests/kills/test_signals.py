"""SIGTERM in each phase of a run, with servers that answer and with some that hang."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.prove.http_head import RequestHead
from tests.conftest import ProxyFor
from tests.kills.phases import BETWEEN, CHECK, FETCH, PAYLOAD, PROBE, PUBLISH, START, Phases
from tests.kills.site import FILES, PATIENCE_S, Ended, Site
from tests.proofs import left_to_prove
from tests.servers.faults import Respond, Rule, Stall
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

_FOR_EVER_S = 600.0
# Before the first operation there is no result.
_NOTHING_DONE = {CHECK, FETCH, PROBE, PAYLOAD}
# Without a bound it would take the time-outs of three files, each tried three times.
_BOUND_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """With nobody else's objects."""
    with serve_s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


class _Signal:
    """A signal in a phase; a second one right after it where it is wanted."""

    def __init__(self, phase: str, *, twice: bool = False) -> None:
        self.phase, self.twice = phase, twice
        self.sent_s = 0.0

    def __call__(self, child: subprocess.Popen[str], phases: Phases) -> str:
        assert phases.wait_for(self.phase, PATIENCE_S), f"{self.phase} never came"
        self.sent_s = time.monotonic()
        child.send_signal(signal.SIGTERM)
        if self.twice:
            time.sleep(0.2)
            child.send_signal(signal.SIGTERM)
        child.wait(PATIENCE_S)
        return phases.now


def _site(tmp_path: Path, server: S3Server, proxy: RecordingProxy, phase: str) -> Site:
    return Site(tmp_path / f"signals-{secrets.token_hex(4)}", server, proxy, phase)


def _stopped_while_it_hangs(
    site: Site, phase: str, match: Callable[[RequestHead], bool], *options: str
) -> Ended:
    """How a run ended that got a signal in this phase, while no such request is answered."""
    hangs = Rule(match=match, action=Stall(seconds=_FOR_EVER_S), times=None)
    sent = _Signal(phase)
    ended = site.run(*options, end=sent, rules=(hangs,))
    assert ended.code == 143, ended.err
    assert time.monotonic() - sent.sent_s < _BOUND_S
    return ended


def _is_result(head: RequestHead) -> bool:
    return head.method == "PUT" and "/results/" in head.path


def _is_data(head: RequestHead) -> bool:
    return "/data/" in f"{head.path}/{head.query.get('prefix', '')}"


@pytest.mark.prove
@pytest.mark.parametrize(
    "phase",
    [
        *(CHECK, "download", PUBLISH),
        *left_to_prove(FETCH, PROBE, PAYLOAD, "upload", "verify", "pause", BETWEEN),
    ],
)
def test_sigterm_stores_what_is_done_and_leaves_nothing(
    phase: str, server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), phase)

    ended = site.run(end=_Signal(phase))

    assert ended.code == 143, ended.err
    assert "Traceback" not in ended.err
    assert all("/results/" in name for name in site.ours(set()))
    assert site.results() or phase in _NOTHING_DONE
    site.check_sent()
    site.check_machine()


def test_sigterm_at_the_very_beginning_ends_it(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), START)

    ended = site.run(end=_Signal(START))

    # Before the interpreter has come to any of our lines it dies of the signal itself.
    assert ended.code in {143, -signal.SIGTERM}, ended.err
    site.check_machine()


@pytest.mark.prove
def test_a_bucket_of_results_that_hangs_does_not_hold_up_the_end(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), "")

    ended = _stopped_while_it_hangs(site, "download", _is_result)

    assert "the bucket lacks results: " in ended.err
    assert site.results()
    site.check_machine()

    ended = site.run()  # goes on, and sends it all

    assert ended.code == 0, ended.err
    site.check(set())


@pytest.mark.prove
def test_what_could_not_be_sent_is_sent_by_the_next_run_whatever_that_is(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), "")
    refused = Rule(match=_is_result, action=Respond(status=403), times=None)

    ended = site.run(rules=(refused,))
    (first,) = site.journals()
    assert ended.code == 6, ended.err
    assert first.with_suffix(".open").exists()

    ended = site.run("--fresh", rules=(refused,))
    assert ended.code == 6, ended.err
    assert f"of run {first.stem}: " in ended.err

    ended = site.run()  # the second is finished: there is nothing to do but this
    assert ended.code == 0, ended.err
    assert ended.err.count("results_sent_later") == 2
    assert Counter(path.suffix for path in site.home.iterdir()) == dict.fromkeys(FILES, 2)
    site.check_sent()


@pytest.mark.prove
def test_a_target_that_hangs_does_not_hold_up_the_end(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), "")

    _stopped_while_it_hangs(site, "upload", _is_data, "--no-check")

    site.check_sent()
    assert list(site.home.glob("*.open")), "what is left in the bucket is told to the next run"
    assert site.run().code == 0
    site.check(set())


@pytest.mark.prove
def test_a_check_that_hangs_does_not_hold_up_the_end(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), "")

    _stopped_while_it_hangs(site, CHECK, _is_data)

    site.check_machine()
    assert site.run().code == 0
    site.check(set())


def test_a_second_signal_ends_it_at_once(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    site = _site(tmp_path, server, proxy_for(server), "")
    hangs = Rule(match=lambda _: True, action=Stall(seconds=_FOR_EVER_S), times=None)

    ended = site.run("--no-check", end=_Signal(FETCH, twice=True), rules=(hangs,))

    assert ended.code == 143, ended.err
    assert (site.home / ".lock").exists(), "it has put something in order before its end"
    site.check_machine()
