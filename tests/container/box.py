"""Starting an image as a container engine does: process 1 of its own world, in its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The shell becomes the program, which thereby is process 1: `exec` all the way.
_ENTER = """\
root=$1 user=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A container that is running."""

    process: subprocess.Popen[str]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to process 1 of the container, as `docker stop` does."""
        os.kill(self._first_process(), number)

    def wait_until_caught(self, number: signal.Signals, timeout_s: float = 60) -> None:
        """Return once process 1 has a way to take this signal, which it ignores until then.

        Raises `RuntimeError` where the container ends first.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._catches(number):
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{number.name} was never caught: {self.end()}")
            time.sleep(0.01)

    def end(self, timeout_s: float = 180) -> Ended:
        """Wait for the end."""
        with self.process:
            out, err = self.process.communicate(timeout=timeout_s)
        return Ended(code=self.process.returncode, out=out, err=err)

    def _catches(self, number: signal.Signals) -> bool:
        try:
            status = Path(f"/proc/{self._first_process()}/status").read_text()
        except (OSError, IndexError):  # not started yet, or ended
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def _first_process(self) -> int:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A container's file system and the configuration of its image."""

    root: Path
    config: Mapping[str, Any]

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, user: str = "0:0"
    ) -> Started:
        """Like `docker run -e … --user … IMAGE ARGUMENTS…`."""
        variables = [*self.config["Env"], *(f"{k}={v}" for k, v in (env or {}).items())]
        program = [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]
        workdir = self.config["WorkingDir"]
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-euc", _ENTER, "sh", str(self.root), user),
                *("env", "-i", "-C", workdir, *variables, *program),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Started(process=process)

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, user: str = "0:0"
    ) -> Ended:
        """Start, and wait for the end."""
        return self.start(*arguments, env=env, user=user).end()

    def records(self, folder: str) -> list[dict[str, Any]]:
        """Every line of every journal under a folder of the container."""
        return read_records(self.root / folder.lstrip("/"))

    def wait_for_result(self, folder: str, timeout_s: float = 60) -> None:
        """Return once a first result is stored under a folder of the container."""
        deadline_s = time.monotonic() + timeout_s
        while not any(line["kind"] == "result" for line in self.records(folder)):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no result in {folder} within {timeout_s:g} s")
            time.sleep(0.1)


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Every whole line of every journal under a folder, which need not exist."""
    lines = [
        line
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_text().splitlines(keepends=True)
    ]
    return [json.loads(line) for line in lines if line.endswith("\n")]
