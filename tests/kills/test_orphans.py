"""What a killed run has left where its guard was killed, too: ended, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hps.process import orphans
from hps.process.process import Guard
from hps.tools.rclone.command import child_env

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no guard to wait for, and this is where temporary folders are."""
    monkeypatch.setattr(orphans, "_GUARD_S", 0.1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs, and ends them after the test."""
    with ExitStack() as stack:

        def started(*argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
            opened = subprocess.Popen(argv, start_new_session=True, env=env)
            process = stack.enter_context(opened)
            stack.callback(process.kill)
            return process

        yield started


def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="hps-"))


def _serve(scratch: Path, rclone: str) -> tuple[str, ...]:
    return (rclone, "rcd", f"--rc-addr=unix://{scratch}/rc.sock", "--rc-no-auth", "--quiet")


def test_processes_and_the_folder_of_a_dead_run_are_taken_away(
    start: Start, rclone_path: str
) -> None:
    scratch, other = _scratch(), _scratch()
    ours = start(*_serve(scratch, rclone_path))
    theirs = start(*_serve(other, rclone_path))
    looks = start(sys.executable, "-c", "import time; time.sleep(60)", f"{scratch}/tool.log")
    ends_s = time.monotonic() + 60
    while not ((scratch / "rc.sock").exists() and (other / "rc.sock").exists()):
        assert time.monotonic() < ends_s
        time.sleep(0.05)

    assert orphans.end(str(scratch), (rclone_path,))

    assert not scratch.exists()
    ours.wait(60)
    assert theirs.poll() is None
    assert looks.poll() is None
    assert other.exists()


def test_what_the_guard_has_removed_is_no_orphan(rclone_path: str) -> None:
    scratch = _scratch()
    scratch.rmdir()
    assert not orphans.end(str(scratch), (rclone_path,))


@pytest.mark.parametrize("name", ["hps-results", "hps-abcdefgh/x", "abcdefgh"])
def test_no_other_folder_is_removed(name: str, tmp_path: Path, rclone_path: str) -> None:
    folder = tmp_path / name
    folder.mkdir(parents=True, mode=0o700)
    (folder / "kept").touch()

    assert not orphans.end(str(folder), (rclone_path,))

    assert (folder / "kept").exists()


def test_a_folder_that_is_open_to_others_or_a_link_is_not_removed(
    tmp_path: Path, rclone_path: str
) -> None:
    scratch = _scratch()
    link = tmp_path / "hps-01234567"
    link.symlink_to(scratch)
    assert not orphans.end(str(link), (rclone_path,))
    scratch.chmod(0o755)
    assert not orphans.end(str(scratch), (rclone_path,))
    assert scratch.exists()


def test_what_was_started_just_before_the_end_is_ended_too(start: Start, rclone_path: str) -> None:
    """A run that is killed between the start of a program and telling its guard of it."""
    scratch, other = _scratch(), _scratch()
    env = child_env(None, {})
    with Guard() as guard:
        guard.send("remove", str(scratch))
        ours = start(*_serve(scratch, rclone_path), env=env)
        theirs = start(*_serve(other, rclone_path), env=env)
        looks = start(sys.executable, "-c", "import time; time.sleep(60)", f"{scratch}/tool.log")
        ends_s = time.monotonic() + 60
        while not ((scratch / "rc.sock").exists() and (other / "rc.sock").exists()):
            assert time.monotonic() < ends_s
            time.sleep(0.05)

    assert ours.wait(60) != 0
    assert not scratch.exists()
    assert theirs.poll() is None
    assert looks.poll() is None
