"""Watching runs, and killing them while they are at work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.clean.site import MACHINE, Site
from tests.command import REPOSITORY

PATIENCE_S = 120.0


def started(site: Site) -> subprocess.Popen[bytes]:
    """`hps run`, which writes its events to `run.err`."""
    with (site.home / "run.err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "hps", "run", str(site.spec), "--output", str(site.output)],
            env={**os.environ, **site.env},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )


def cleaning(site: Site) -> subprocess.Popen[bytes]:
    """`hps clean --yes` of all that is there, whatever its age."""
    arguments = ["clean", str(site.spec), "--output", str(site.output), "--older-than=0s", "--yes"]
    return subprocess.Popen(
        [sys.executable, "-m", "hps", *arguments],
        env={**os.environ, **site.env},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def killed_in_the_middle(site: Site) -> str:
    """Kill a run during an operation, and return its id once all its processes have ended."""
    with started(site) as running:
        wait_for(lambda: is_under_way(site), running)
        running.send_signal(signal.SIGKILL)
        running.wait(PATIENCE_S)
    # Its guard ends what it had started.
    wait_for(lambda: not _is_anyone_at(site.name))
    wait_for(lambda: _is_quiet(site))
    return str(json.loads(_lock(site).read_text())["run_id"])


def _is_quiet(site: Site) -> bool:
    """True once the bucket changes no more: a server may complete an upload that was given up."""
    before = site.bucket.names(), site.bucket.begun()
    time.sleep(0.5)
    return before == (site.bucket.names(), site.bucket.begun())


def is_under_way(site: Site) -> bool:
    """True once an operation has begun."""
    return _lock(site).exists() and "operation_id" in _lock(site).read_text()


def _lock(site: Site) -> Path:
    return site.output / site.name / MACHINE / ".lock"


def wait_for(condition: Callable[[], bool], running: subprocess.Popen[bytes] | None = None) -> None:
    """Wait, while that process runs, until something has happened."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert running is None or running.poll() is None
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def _is_anyone_at(name: str) -> bool:
    """True while a process has this experiment's name in its arguments."""
    return any(f"/{name}/" in arguments for arguments in map(_arguments, Path("/proc").iterdir()))


def _arguments(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""  # no process, or one that has just ended
