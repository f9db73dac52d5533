"""Nothing that a run makes can be written to by others, whatever the umask."""

from __future__ import annotations

import shlex
import stat
import subprocess
import sys
from pathlib import Path

from tests.command import REPOSITORY

_SPEC = """\
api: hps/v1
name: umask
targets: {local: {provider: embedded}}
data: {size: 100KiB}
steps: [upload, {pause: {duration: 2s}}, delete]
"""


def test_nobody_else_may_write(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(_SPEC)
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "hps", "run", f"{tmp_path}/s.yaml", "--output"]
    command += [f"{tmp_path}/made/out"]
    seen: dict[str, int] = {}
    with subprocess.Popen(
        ["bash", "-c", f"umask 000; TMPDIR={tmp_path}/tmp exec {shlex.join(command)}"],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while running.poll() is None:
            for folder in (tmp_path / "made", tmp_path / "tmp"):
                seen |= _modes(folder)
    assert running.returncode == 0
    seen |= _modes(tmp_path / "made")

    assert {Path(name).suffix for name in seen} >= {".jsonl", ".csv", ".txt", ".bin"}
    assert {name: oct(mode) for name, mode in seen.items() if mode & 0o022} == {}


def _modes(folder: Path) -> dict[str, int]:
    found = {}
    try:
        for path in folder.rglob("*"):
            state = path.lstat()
            if not (stat.S_ISSOCK(state.st_mode) or stat.S_ISLNK(state.st_mode)):
                found[str(path)] = stat.S_IMODE(state.st_mode)
    except OSError:
        return found  # it has just been removed
    return found
