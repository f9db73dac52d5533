"""Small disks of a test's own, and commands that see the machine's own ones as read-only."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.command import Ran

# Makes a small file system, `mount("name", "size=1m")`.
Mount = Callable[[str, str], Path]
_TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")
_NOT_WRITABLE = "/proc"
_PATIENCE_S = 120


@contextmanager
def small_disks(parent: Path) -> Iterator[Mount]:
    """A factory of small file systems in `parent`; skips where there are none."""
    with ExitStack() as stack:

        def mounted(name: str, options: str) -> Path:
            if os.getuid() != 0:
                pytest.skip("only root can mount a file system")
            folder = parent / name
            folder.mkdir()
            argv = ["mount", "-t", "tmpfs", "-o", options, "hps-test", str(folder)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
            return folder

        yield mounted


def hps_without_temporary_folder(*arguments: str | Path) -> Ran:
    """Run `hps` where no folder for temporary files can be written to.

    Those that there are stay as they are for every other process; skips where that can't be done.
    """
    places = [place for place in _TEMPORARY if Path(place).is_dir()]
    read_only = [f"mount --bind {one} {one} && mount -o remount,bind,ro {one}" for one in places]
    command = shlex.join([sys.executable, "-m", "hps", *map(str, arguments)])
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    unshare = ["unshare", "--mount", *user, "sh", "-c"]
    probe = subprocess.run(
        [*unshare, " && ".join(read_only)], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no folder can be made read-only here: {probe.stderr.strip()}")
    named = ("TMPDIR", "TEMP", "TMP")
    done = subprocess.run(
        [*unshare, " && ".join([*read_only, f"exec {command}"])],
        cwd=_NOT_WRITABLE,
        env={name: value for name, value in os.environ.items() if name not in named},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)
