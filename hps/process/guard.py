"""A small process that outlives `hps` by a moment, so that even SIGKILL leaves nothing behind.

Its parent registers over its standard input which process groups and folders are in use. When that
pipe closes, however the parent ended, it stops the groups and removes the folders. Run as a script,
it uses the standard library alone, and starts in a few milliseconds.

Lines on standard input: `{"watch": PID}`, `{"forget": PID}`, `{"remove": PATH}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

GRACE_S = 2.0


def main() -> None:
    """Read lines until the parent is gone, then clean up."""
    os.chdir("/")  # so that no file system is kept busy
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    folders: dict[str, None] = {}
    for line in sys.stdin:
        _apply(json.loads(line), groups, folders)
    _stop(groups | _unregistered(folders))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _apply(message: dict[str, object], groups: set[int], folders: dict[str, None]) -> None:
    for word, value in message.items():
        if word == "watch":
            groups.add(int(str(value)))
        elif word == "forget":
            groups.discard(int(str(value)))
        elif word == "remove":
            folders[str(value)] = None


def _unregistered(folders: dict[str, None]) -> set[int]:
    """Groups that were started too shortly before the end to be registered.

    They are recognized by a path in one of the folders among their arguments, and by a variable in
    their environment that nothing else has.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
            if _is_ours(process, folders):
                found.add(os.getpgid(int(process.name)))
    return found


def _is_ours(process: Path, folders: dict[str, None]) -> bool:
    arguments = (process / "cmdline").read_bytes()
    if not any(os.fsencode(folder) + b"/" in arguments for folder in folders):
        return False
    return b"HPS_CHILD=1" in (process / "environ").read_bytes().split(b"\0")


def _stop(groups: set[int]) -> None:
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(_alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
