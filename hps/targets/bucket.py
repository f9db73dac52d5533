"""A folder of a bucket, and all that is needed to go there with rclone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.model import Failure
from hps.process import process
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, errors
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.errors import explain
from hps.tools.rclone.remote import Remote

_FLAGS = (
    "--disable-http2",  # it would fold all into one connection
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=10s",
    "--use-json-log",
    "--log-level=ERROR",  # so that anything in the log is a failure
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way to a folder of a bucket: `key` under the remote's root, and what to go there with."""

    remote: Remote
    key: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    stop: process.Stop

    def run(
        self,
        call: Invocation,
        *,
        timeout_s: float,
        name: str,
        stop: process.Stop | None = None,
        sampler: process.Sampler | None = None,
    ) -> process.Exit:
        """Run one call; its output is in `<name>.out` and `<name>.log` of the scratch folder."""
        return process.run(
            call.command(self.binary, self.secrets),
            timeout_s=timeout_s,
            guard_process=self.guard,
            stdout=self.scratch / f"{name}.out",
            stderr=self.log(name),
            stop=stop,
            sampler=sampler,
        )

    def log(self, name: str) -> Path:
        """Where the calls of this name write what goes wrong."""
        return self.scratch / f"{name}.log"

    def why(self, name: str, ended: process.Exit) -> Failure:
        """Why the last call of this name came to no good end."""
        if ended.ended == "timeout":
            return failure("timeout", f"it took more than {ended.duration_s:.0f} s")
        if ended.ended == "stopped":
            return failure("stopped", "the run was stopped")
        return first_failure(self.log(name)) or tool_failed(ended)

    def why_plain(self, name: str, ended: process.Exit) -> Failure:
        """The same for a call whose log is a plain one."""
        said = errors.last_failure(self.log(name)) if ended.ended == "exit" else None
        return said or self.why(name, ended)

    def place(self, *parts: str) -> str:
        """A folder below the key, as rclone takes it.

        With the slash at its end rclone does not ask first whether it is a file.
        """
        return f"{self.remote.path(self.key, *parts)}/"

    def call(self, *args: str) -> Invocation:
        """A call on this link with the flags that all of them share."""
        trust = (f"--ca-cert={self.remote.ca_cert}",) if self.remote.ca_cert else ()
        return command.invocation((*args, *_FLAGS, *trust), self.remote)


def first_failure(log: Path) -> Failure | None:
    """What the tool complained of first in its JSON log, or plainly where it crashed."""
    for line in log.read_bytes().splitlines():
        read = rclone_log.parse([line])
        if read.crash:
            return failure("tool_crashed", f"rclone crashed: {read.crash}")
        if read.last_error:
            return explain(read.last_error)
    return None


def tool_failed(ended: process.Exit) -> Failure:
    """Of a call that said nothing: its exit code, or the signal that ended it."""
    code = ended.returncode
    if code < 0:
        return failure("tool_crashed", f"rclone was ended by signal {-code}")
    return failure("tool_failed", f"rclone ended with code {code}")


# -------------------------------------------------------------------------------------------------
# A bound to what a server's answer may take on this machine: some lists have no end.

_MOST_BYTES = 1024**3
_ENDLESS = "the server's answer has no end, or takes too much memory to be read"


@dataclass(slots=True, kw_only=True)
class Bounded:
    """A `process.Sampler` that ends a process: its memory and its output in `out` count together.

    `failure` then says so; it is None where nothing was ended.
    """

    out: Path
    most_bytes: int = _MOST_BYTES
    interval_s: float = 0.2
    failure: Failure | None = None

    def sample(self, pid: int) -> None:
        """One look at process `pid`."""
        try:
            process = psutil.Process(pid)
            taken_bytes = process.memory_info().rss + self.out.stat().st_size
            if taken_bytes > self.most_bytes:
                process.kill()
                self.failure = failures.failure("bad_answer", _ENDLESS, hint="")
        except (psutil.Error, FileNotFoundError):
            return  # it has just ended, or has written nothing yet
