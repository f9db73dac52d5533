"""`hps fleet status --watch`: look after look, on a terminal and elsewhere, whatever fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hps.cli.watch import Screen, repeat
from hps.errors import MachineError
from hps.process.stop import SignalStop
from tests.command import REPOSITORY, hps
from tests.conftest import ProxyFor
from tests.fleet.stored import StoredFleet
from tests.fleet.watching import PATIENCE_S, started
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_s3 import serve_s3


@pytest.fixture
def proxied(tmp_path: Path, proxy_for: ProxyFor) -> Iterator[tuple[StoredFleet, RecordingProxy]]:
    """A fleet with one node at work, one of which is wanted, and what it is reached by."""
    with serve_s3(tmp_path / "served", live=True) as server:
        proxy = proxy_for(server)
        stored = StoredFleet(
            server=server,
            served=tmp_path / "served",
            file=tmp_path / "stored.yaml",
            described="{nodes: 1, per_node: {cells: 2}}",
            endpoint=proxy.endpoint,
        )
        stored.node("node-1", (0, 1), done=2)
        yield stored, proxy


def _watch(stored: StoredFleet, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    watch = ("fleet", "status", stored.write(), "--watch", "--every", "1s")
    return started(*watch, *options, env=stored.env)


def test_each_look_is_a_line_and_the_end_of_the_fleet_is_the_last(
    proxied: tuple[StoredFleet, RecordingProxy],
) -> None:
    stored, _ = proxied
    with _watch(stored) as watching:
        assert watching.stdout is not None
        first = watching.stdout.readline()
        stored.node("node-1", (0, 1))
        rest, err = watching.communicate(timeout=PATIENCE_S)
    assert (watching.returncode, err) == (0, "")
    assert first.endswith(" 0/1 done, 1 at work, 33 %\n")
    assert rest.splitlines()[-1].endswith(" 1/1 done, 0 at work, 100 %")


def test_a_look_that_fails_is_told_and_the_next_one_follows(
    proxied: tuple[StoredFleet, RecordingProxy],
) -> None:
    stored, proxy = proxied
    with _watch(stored, "--format", "json") as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert json.loads(watching.stdout.readline())["states"]["at_work"] == 1
        with proxy.refusing():
            assert "can't be listed" in watching.stderr.readline()
        assert json.loads(watching.stdout.readline())["states"]["at_work"] == 1
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=PATIENCE_S)
    assert watching.returncode == 130
    assert "Traceback" not in err


def test_it_ends_where_nobody_reads_it(proxied: tuple[StoredFleet, RecordingProxy]) -> None:
    stored, _ = proxied
    with _watch(stored) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline()
        watching.stdout.close()
        assert watching.wait(timeout=PATIENCE_S) == 0


def test_a_terminal_shows_one_screen_in_place_of_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen, looks = Screen(1.0), iter(["goes on", "fails", "is over"])

    def look() -> bool:
        what = next(looks)
        if what == "fails":
            raise MachineError("the bucket is away " + "x" * 100, "wait")
        screen.show("fleet  first\n")
        return what == "is over"

    assert repeat(look, 0.0, SignalStop(), show_error=screen.show_error) == 0
    screens = capsys.readouterr().out.split("\x1b[H\x1b[J")[1:]
    assert [one.splitlines()[0] for one in screens] == ["fleet  first"] * 3
    assert "! the bucket is away" in screens[1]
    assert max(len(line) for one in screens for line in one.splitlines()) <= 80


def test_on_a_real_terminal_it_is_redrawn(proxied: tuple[StoredFleet, RecordingProxy]) -> None:
    stored, _ = proxied
    stored.node("node-1", (0, 1))
    terminal, end = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hps", "fleet", "status", stored.write(), "--watch"],
            env={**os.environ, **stored.env},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
        shown = os.read(terminal, 64 * 1024).decode()
    finally:
        os.close(terminal)
        os.close(end)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.startswith("\x1b[H\x1b[Jfleet ")
    assert "as many as are wanted have measured their cells" in shown


def test_what_was_stopped_before_ends_at_once() -> None:
    stop = SignalStop()
    stop.handle(signal.SIGTERM, None)
    assert repeat(lambda: pytest.fail("it looked"), 1.0, stop) == 143


def test_a_mistake_ends_it_before_the_first_look(tmp_path: Path) -> None:
    ran = hps("fleet", "status", tmp_path / "nowhere.yaml", "--watch")
    assert (ran.code, ran.out) == (2, "")
