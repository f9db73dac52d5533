"""`hps` started for a test that looks on while it is at work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.command import REPOSITORY

PATIENCE_S = 90.0


@contextmanager
def started(
    *arguments: str | Path, env: Mapping[str, str], cwd: Path = REPOSITORY
) -> Iterator[subprocess.Popen[str]]:
    """`hps` with these arguments, for a `with` block; it is killed at its end."""
    with subprocess.Popen(
        [sys.executable, "-m", "hps", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(it: Callable[[], bool]) -> None:
    """Wait until it is so. Raises `AssertionError` where that takes too long."""
    ends_s = time.monotonic() + PATIENCE_S
    while not it():
        assert time.monotonic() < ends_s
        time.sleep(0.1)
