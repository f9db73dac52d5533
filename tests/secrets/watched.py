"""`hps` in a process of its own, and everything that others can see of it while it runs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import REPOSITORY

_TIMEOUT_S = 240.0
# rclone's own words, as it says them: in a folder that nobody else can look into, until the end.
_RAW_LOGS = frozenset({".log", ".out"})
_RAW_NAMES = frozenset({"out", "err", "log"})


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was written, by the place where it was seen; `open_folders` others may look into."""

    code: int = 0
    places: dict[str, str] = field(default_factory=dict)
    open_folders: set[str] = field(default_factory=set)

    def add(self, place: str, text: str) -> None:
        """Something more in this place."""
        if text not in self.places.get(place, ""):
            self.places[place] = self.places.get(place, "") + text + "\n"


def watch(
    *arguments: str | Path, env: Mapping[str, str], folder: Path, raw_logs: bool = True
) -> Seen:
    """Run `hps` with this environment alone. With `raw_logs` the tool's own logs count as well."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    seen = Seen()
    whole = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(temporary), **env}
    with (
        (folder / "stdout").open("wb") as out,
        (folder / "stderr").open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-m", "hps", *map(str, arguments)],
            env=whole,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        ) as running,
    ):
        deadline_s = time.monotonic() + _TIMEOUT_S
        while running.poll() is None:
            _look(seen, temporary, raw_logs)
            if time.monotonic() > deadline_s:
                running.send_signal(signal.SIGKILL)
            time.sleep(0.05)
    seen.code = running.returncode
    for path in _files(folder):
        seen.add(f"file {path.relative_to(folder)}", _text(path))
    return seen


def _look(seen: Seen, temporary: Path, raw_logs: bool) -> None:
    """One look at the arguments of all processes, and at the temporary files."""
    for path in Path("/proc").glob("[0-9]*"):
        seen.add("command lines", _text(path / "cmdline"))
    for path in _files(temporary):
        if raw_logs or not (path.suffix in _RAW_LOGS or path.name in _RAW_NAMES):
            seen.add(f"temporary {path.name}", _text(path))
    for path in temporary.glob("hps-*"):
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                seen.open_folders.add(path.name)
        except OSError:
            seen.add("gone", "")


def _files(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in sorted(folder.rglob("*")) if _is_small_file(path)]
    except OSError:
        return []  # a folder has just been removed


def _is_small_file(path: Path) -> bool:
    """Payloads are random bytes, and large."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size < 2_000_000 and path.suffix != ".bin"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""  # it has just ended, or been removed
