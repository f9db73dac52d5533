"""The bucket that the whole fleet stores in: one folder, served wherever it is wanted."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from bench.link import Link
from hps.process import process
from hps.tools.rclone import command
from hps.tools.rclone.command import child_env

NAME, FOLDER = "hps", "fleet"
# The same on every link: what a fleet's results have in common is the target.
PORT = 9000
_LOOPBACK = "127.0.0.1"
_READY_TIMEOUT_S = 20.0
_ADDRESS = re.compile(r"Starting s3 server on \[(http://[\d.]+:\d+)/\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A folder with the bucket in it, and keys for its servers that are fresh each time."""

    root: Path
    key_id: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    secret: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)

    def outside(self, link: Link) -> AbstractContextManager[Mapping[str, str]]:
        """Serve it outside of a link, for the length of a `with` block.

        Yields the variables that the shipped experiments and `r2:` read. Raises `HpsError` where
        the server can't start.
        """
        return self._served(f"{link.host}:{PORT}", link.outside())

    def here(self) -> AbstractContextManager[Mapping[str, str]]:
        """The same on this machine's loopback, for who wants to read what nodes have stored."""
        return self._served(f"{_LOOPBACK}:0", nullcontext())

    def journals(self, experiment: str, machine_id: str) -> list[Path]:
        """What a node has stored, the oldest first."""
        return sorted(self._folder_of(experiment, machine_id).glob("*.jsonl"))

    def forget(self, experiment: str, machine_id: str) -> None:
        """Remove what a node has stored."""
        shutil.rmtree(self._folder_of(experiment, machine_id), ignore_errors=True)

    def _folder_of(self, experiment: str, machine_id: str) -> Path:
        return self.root / NAME / FOLDER / "results" / experiment / machine_id

    @contextlib.contextmanager
    def _served(
        self, address: str, place: AbstractContextManager[None]
    ) -> Iterator[Mapping[str, str]]:
        (self.root / NAME).mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            guard = stack.enter_context(process.Guard())
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-fleet-")))
            server = process.serve(
                self._command(address),
                log=scratch / "log",
                guard_process=guard,
                ready=_address,
                timeout_s=_READY_TIMEOUT_S,
            )
            with place:
                endpoint = stack.enter_context(server)
            yield {
                "CLOUDFLARE_ENDPOINT_URL": endpoint,
                "CLOUDFLARE_REGION": "auto",
                "CLOUDFLARE_ID": self.key_id,
                "CLOUDFLARE_KEY": self.secret,
                "BUCKET": NAME,
                "FOLDER": FOLDER,
            }

    def _command(self, address: str) -> process.Command:
        binary = command.find_binary(os.environ)
        argv = (binary, "serve", "s3", str(self.root), f"--addr={address}", "--vfs-cache-mode=off")
        # By environment and not by argument: everyone on the machine can read arguments.
        keys = f'"{self.key_id},{self.secret}"'
        return process.Command(argv=argv, env={**child_env(None, {}), "RCLONE_AUTH_KEY": keys})


def _address(log: str) -> str | None:
    match = _ADDRESS.search(log)
    return match[1] if match else None
