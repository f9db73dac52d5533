"""SIGKILL at random instants, in each phase, until the experiment completes all the same.

`HPS_KILLS=200 pytest tests/kills` kills 200 times; `HPS_KILLS_SEED` repeats the instants of a run
as far as the machine lets it.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ProxyFor
from tests.kills.phases import (
    ALL,
    BETWEEN,
    CHECK,
    CLEAN_UP,
    END,
    FETCH,
    PAYLOAD,
    PROBE,
    PUBLISH,
    START,
)
from tests.kills.site import Ended, Kill, Site, table
from tests.servers.child import ask
from tests.servers.moto_s3 import serve_moto
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

# Read when the tests are collected, before their environment is made.
KILLS = int(os.environ.get("HPS_KILLS", "15"))
# The short form has one server, that which lists multipart uploads, and one seed; `make kills` has
# both servers, and draws.
_LONG = "HPS_KILLS" in os.environ
_SERVERS = ["moto", "rclone"] if _LONG else ["moto"]
SEED = int(os.environ.get("HPS_KILLS_SEED", str(secrets.randbelow(10**6) if _LONG else 1)))
_MOST_IN_A_ROW = 4
# A share of the kills ends the guard process, too.
_WITH_GUARD = 0.15
# Phases that last longer than an operation, or shorter.
_LASTS_S = {
    START: 0.8,
    CHECK: 0.8,
    FETCH: 0.2,
    PROBE: 3.0,
    PAYLOAD: 0.2,
    "verify": 0.004,
    BETWEEN: 0.003,
    CLEAN_UP: 0.1,
    PUBLISH: 0.3,
    END: 0.2,
}
_FOREIGN = (
    "tests/data/other/20260101T000000000Z-abcdef/0.bin",
    "tests/data/notes.txt",
    "tests/results/readme.txt",
    "data/kills-moto-0/x.bin",
    "tests/x",
)
_FOREIGN_UPLOAD = "tests/data/other/upload.bin"


@pytest.fixture(params=_SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    serve = {"moto": serve_moto, "rclone": serve_s3}[request.param]
    with serve(tmp_path / request.param) as running:
        yield running


class _Plan:
    """Which kills are still to come: each phase once, then at any time, then what was missed."""

    def __init__(self, kills: int, random_: random.Random, took_s: float) -> None:
        self.hits: Counter[str] = Counter()
        self._kills, self._random, self._took_s = kills, random_, took_s
        self._tries = 0

    @property
    def over(self) -> bool:
        """True once it is enough, or there is no hope."""
        done = self.hits.total() >= self._kills and not self.missed
        return done or self._tries > 4 * max(self._kills, len(ALL))

    @property
    def missed(self) -> list[str]:
        return [phase for phase in ALL if not self.hits[phase]]

    def next_phase(self) -> str:
        """Every other kill is at any time of a run."""
        return self._random.choice(self.missed or ALL) if self._random.random() < 0.7 else ""

    def next_kill(self, phase: str) -> Kill:
        self._tries += 1
        guard = self._random.random() < _WITH_GUARD and phase not in {"", START}
        if not phase:
            return Kill(START, self._random.uniform(0, self._took_s))
        return Kill(phase, self._random.uniform(0, _LASTS_S.get(phase, 0.05)), guard=guard)

    def in_a_row(self) -> int:
        return self._random.randint(1, _MOST_IN_A_ROW)


@pytest.mark.prove
def test_whatever_the_instant_nothing_is_lost_and_nothing_is_left(
    server: S3Server, proxy_for: ProxyFor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = proxy_for(server)
    kind = "moto" if (tmp_path / "moto").exists() else "rclone"
    foreign = _put_foreign(server, tmp_path / "foreign", upload=kind == "moto")
    random_ = random.Random(SEED)
    first = Site(tmp_path / f"kills-{kind}-0", server, proxy, PROBE)
    plan = _Plan(KILLS // len(_SERVERS), random_, _completed(first).took_s)
    first.check(foreign)
    number = 0
    while not plan.over:
        number += 1
        phase = plan.next_phase()
        site = Site(tmp_path / f"kills-{kind}-{number}", server, proxy, phase)
        try:
            _kill_and_complete(site, plan, phase)
            site.check(foreign)
        except AssertionError as error:
            error.add_note(f"HPS_KILLS_SEED={SEED}, experiment {site.name}, phase {phase}")
            raise
        finally:
            site.remove()
    with capsys.disabled():
        print(f"\n{kind}, HPS_KILLS_SEED={SEED}, {number} experiments\n{table(plan.hits)}")
    assert plan.missed == []
    _check_foreign(server, tmp_path / "foreign", foreign, upload=kind == "moto")


def _kill_and_complete(site: Site, plan: _Plan, phase: str) -> None:
    for _ in range(plan.in_a_row()):
        ended = site.run(end=plan.next_kill(phase))
        if not ended.killed_in:
            assert ended.code == 0, ended.err
            break
        plan.hits[ended.killed_in] += 1
        phase = plan.next_phase() if phase not in {PROBE, CLEAN_UP} else phase
    _completed(site)


def _completed(site: Site) -> Ended:
    ended = site.run()
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    return ended


def _put_foreign(server: S3Server, folder: Path, *, upload: bool) -> set[str]:
    for name in _FOREIGN:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(1000))
    env = remote_environment(server)
    run_rclone(["copy", str(folder), f"T:{server.bucket}"], env=env)
    if upload:
        status, _ = ask(server.endpoint, "POST", f"/{server.bucket}/{_FOREIGN_UPLOAD}?uploads")
        assert status == 200
    return set(_FOREIGN)


def _check_foreign(server: S3Server, folder: Path, foreign: set[str], *, upload: bool) -> None:
    env, copy = remote_environment(server), folder.with_name("foreign-copy")
    run_rclone(["copy", f"T:{server.bucket}", str(copy)], env=env)
    for name in foreign:
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    if upload:
        listed = run_rclone(["backend", "list-multipart-uploads", f"T:{server.bucket}"], env=env)
        assert listed.stdout.count('"Key"') == 1, listed.stdout
        assert _FOREIGN_UPLOAD in listed.stdout
