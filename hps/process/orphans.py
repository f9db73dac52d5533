"""Ends what a killed run has left on this machine where its guard was killed with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from hps.process import guard

# The names that `hps.process.temporary` gives to the folders of `hps.run.session`.
_NAME = re.compile(r"hps-[a-z0-9_]{8}")
_LOOK_S = 0.05
# A guard ends processes first, and then removes the folder.
_GUARD_S = guard.GRACE_S + 2.0
_KILL_S = 5.0


def end(scratch: str, programs: Collection[str]) -> bool:
    """Wait until the guard of a killed run has cleaned up; do it in its place where it is dead.

    `scratch` is the run's folder, by its lock. Processes of `programs` are ended that have a path
    within it among their arguments, and none of any other program. True where the folder was still
    there.
    """
    folder = Path(scratch)
    if not _is_scratch(folder):
        return False
    ends_s = time.monotonic() + _GUARD_S
    while folder.exists() and time.monotonic() < ends_s:
        time.sleep(_LOOK_S)
    if not folder.exists():
        return False
    names = {Path(program).name for program in programs}
    remaining = [process for process in psutil.process_iter() if _is_of(process, folder, names)]
    for process in remaining:
        with contextlib.suppress(psutil.Error):  # it has just ended
            process.kill()
    psutil.wait_procs(remaining, timeout=_KILL_S)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _is_scratch(folder: Path) -> bool:
    """False for any other folder: whoever can write to the lock must not make us remove one."""
    if _NAME.fullmatch(folder.name) is None or folder.parent != Path(tempfile.gettempdir()):
        return False
    try:
        found = folder.lstat()
    except OSError:
        return False
    mode = stat.S_IMODE(found.st_mode)
    return stat.S_ISDIR(found.st_mode) and mode == 0o700 and found.st_uid == os.getuid()


def _is_of(process: psutil.Process, folder: Path, names: Collection[str]) -> bool:
    try:
        arguments = process.cmdline()
        if not arguments or process.uids().real != os.getuid():
            return False
    except psutil.Error:
        return False
    ours = Path(arguments[0]).name in names
    return ours and any(f"{folder}/" in argument for argument in arguments[1:])
