"""An experiment of one test alone in a bucket of its own, with an output folder."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hps.results.record import new_run_id
from tests.clean.bucket import Bucket
from tests.command import Ran, hps, keys_of, target_text
from tests.servers.s3_server import S3Server

TRIAL = "0123456789ab"
MACHINE = "machine-1"
_SPEC = """\
api: hps/v1
name: {name}
targets:
{target}
data: {{size: {size}}}
matrix: {{chunk_size: [5MiB], concurrency: [2]}}
repetitions: {repetitions}
steps: [upload, list, download, verify, delete]
"""


def old_run(hours: float = 48) -> str:
    """The id of a run that began so long ago."""
    return new_run_id(datetime.now(UTC) - timedelta(hours=hours))


class Site:
    """Where an experiment is run, and cleaned up after."""

    def __init__(self, folder: Path, server: S3Server, inside: str = "") -> None:
        self.home, self.server, self.bucket = folder, server, Bucket(server=server)
        self.name = f"clean-{secrets.token_hex(4)}"
        self.output = folder / "out"
        self.spec = folder / "clean.yaml"
        self.env = {**keys_of(server), "SALAD_MACHINE_ID": MACHINE}
        self.write(inside)

    def write(
        self, inside: str, *, size: str = "6MiB", repetitions: int = 1, more: str = ""
    ) -> None:
        """The spec, with this text for `folder`."""
        text = _SPEC.format(
            name=self.name,
            target=target_text(
                "s3", self.server.endpoint, self.server.bucket, folder=json.dumps(inside)
            ),
            size=size,
            repetitions=repetitions,
        )
        self.spec.write_text(f"{text}{more}", encoding="utf-8")

    def run(self, *options: str) -> Ran:
        """`hps run`."""
        return hps("run", self.spec, "--output", self.output, *options, env=self.env)

    def clean(self, *options: str | Path, env: dict[str, str] | None = None) -> Ran:
        """`hps clean`."""
        arguments = ("clean", self.spec, "--output", self.output, *options)
        return hps(*arguments, env={**self.env, **(env or {})})

    def left(self, *options: str | Path) -> list[dict[str, Any]]:
        """What `hps clean --format json` lists."""
        ran = self.clean("--format", "json", *options)
        assert ran.code in {0, 1}, ran.err
        found: list[dict[str, Any]] = json.loads(ran.out)["left"]
        return found

    def made(self, run_id: str, name: str = f"{TRIAL}/0.bin") -> str:
        """A key that a run could have made in a bucket without a folder."""
        return f"data/{self.name}/{run_id}/{name}"

    def objects(self) -> set[str]:
        """The keys of what runs have made in a bucket without a folder."""
        return {key for key in self.bucket.names() if key.startswith(f"data/{self.name}/")}
