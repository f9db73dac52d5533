"""One file from the bucket of a well-known target, and one into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Failure, Target
from hps.redaction import Scrubber
from hps.targets import well_known
from hps.targets.workplace import Said, Workplace
from hps.tools.rclone import command
from hps.tools.rclone.errors import bare, explain
from hps.tools.rclone.remote import remote_of

TIMEOUT_S = 30.0
_NO_FILE = failure("not_found", "there is no such file")


@dataclass(frozen=True, slots=True, kw_only=True)
class WellKnown:
    """A well-known target within reach, for small files."""

    target: Target
    program: str
    place: Workplace
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def root(self) -> str:
        """`bucket/folder`."""
        return remote_of(self.target).root

    def name(self, key: str) -> str:
        """What may be printed: `r2:bucket/folder/key`."""
        return remote_of(self.target).path(key)

    def get(self, key: str, *, most_bytes: int) -> bytes | Failure:
        """What a file holds, no more than `most_bytes` of it; or why it can't be read.

        A folder is no file: `cat` would give all that is in it. Raises `HpsError` where the server
        is too slow.
        """
        said = self._run("lsjson", "--stat", "--no-modtime", "--no-mimetype", self.name(key))
        if said.code != 0:
            return _why(said)
        if json.loads(said.out)["IsDir"]:
            return _NO_FILE  # what is missing looks like a folder
        # Its size may have changed in between.
        said = self._run("cat", f"--count={most_bytes}", self.name(key), most_bytes=most_bytes)
        return _why(said) if said.code != 0 else said.out

    def put(self, path: Path, key: str) -> Failure | None:
        """Copy a local file to `key` below the target's folder. Returns why that failed."""
        said = self._run("copyto", "--no-check-dest", str(path), self.name(key))
        return None if said.code == 0 else _why(said)

    def _run(self, *arguments: str, most_bytes: int = 1024**2) -> Said:
        """Nothing that it says holds a secret."""
        call = command.invocation((*arguments, *command.BRIEF), remote_of(self.target))
        said = self.place.run(call.command(self.program, self.secrets), most_bytes=most_bytes)
        return Said(code=said.code, out=said.out, err=Scrubber(self.secrets).text(said.err))


def reach(name: str, env: Mapping[str, str], place: Workplace) -> WellKnown:
    """The bucket of a well-known target. Raises `HpsError` where something for it is missing."""
    target = well_known.target(name, env)
    return WellKnown(
        target=target,
        program=command.find_binary(env),
        place=place,
        secrets={key.env: env[key.env] for key in target.secrets},
    )


def _why(said: Said) -> Failure:
    """What the client complained of, in words."""
    return explain(bare(said.last_line))
