"""A folder of a bucket, and all that is needed to go there with rclone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps import process
from hps.targets import Remote
from hps.tools import rclone, rclone_log
from hps.tools.why import in_words

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
        call: rclone.Invocation,
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

    def why(self, name: str, ended: process.Exit) -> str:
        """Why the last call of this name came to no good end."""
        if ended.ended != "exit":
            took = f"it took more than {ended.duration_s:.0f} s"
            return took if ended.ended == "timeout" else "the run was stopped"
        return first_error(self.log(name)) or f"rclone ended with code {ended.returncode}"

    def place(self, *parts: str) -> str:
        """A folder below the key, as rclone takes it.

        With the slash at its end rclone does not ask first whether it is a file.
        """
        return f"{self.remote.path(self.key, *parts)}/"

    def call(self, *args: str) -> rclone.Invocation:
        """A call on this link with the flags that all of them share."""
        trust = (f"--ca-cert={self.remote.ca_cert}",) if self.remote.ca_cert else ()
        return rclone.Invocation(args=(*args, *_FLAGS, *trust), remote=self.remote)


def first_error(log: Path) -> str:
    """What the tool complained of first, in words, on one line."""
    for line in log.read_bytes().splitlines():
        said = rclone_log.parse([line]).last_error
        if said:
            return in_words(said)
    return ""
