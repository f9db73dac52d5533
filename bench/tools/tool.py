"""What a tool is, what it is told, and the environment that it gets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.grid import MIB
from bench.link.settings import WAYS, Way
from hps.model import SecretRef, Target
from hps.process.process import Command
from hps.tools.rclone.remote import Remote, remote_of
from tests.servers.s3_server import S3Server

_KEY_ID, _SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every tool is told: the bytes of a part or range, and how many may be in flight."""

    chunk_bytes: int
    concurrency: int

    @property
    def text(self) -> str:
        """`10 x 10 MiB`, those in flight first."""
        return f"{self.concurrency} x {self.chunk_bytes // MIB} MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file, up to or down from `key` in the server's bucket; `home` takes settings."""

    way: Way
    file: Path
    key: str
    server: S3Server
    terms: Terms
    home: Path

    @property
    def source_and_destination(self) -> tuple[str, str]:
        """A path and an `s3://` address, in the order of the copy."""
        url = f"s3://{self.server.bucket}/{self.key}"
        return (str(self.file), url) if self.way == "up" else (url, str(self.file))

    @property
    def remote(self) -> Remote:
        """The bucket as rclone has it."""
        return remote_of(
            Target(
                name="s3",
                provider="other",
                bucket=self.server.bucket,
                endpoint=self.server.endpoint,
                region=_REGION,
                access_key_id=SecretRef(env=_KEY_ID),
                secret_access_key=SecretRef(env=_SECRET),
                force_path_style=True,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that is installed. `idle` starts it, lets it load, and moves nothing.

    `told_by` are the settings that carry the terms; `untold` says what it can't be told, and is
    empty where it can be told both. `config` is the text of the task's file of AWS settings.
    One that is not `timed` is looked at on the wire alone.
    """

    name: str
    version: str
    idle: tuple[str, ...]
    arguments: Callable[[Task], tuple[str, ...]]
    told_by: str
    untold: str = ""
    ways: tuple[Way, ...] = WAYS
    timed: bool = True
    config: Callable[[Terms], str] = lambda _: ""

    def command(self, task: Task) -> Command:
        """What to start, once its settings lie in `home`; keys are in its environment alone."""
        config = task.home / "aws-config"
        config.write_text(self.config(task.terms), encoding="utf-8")
        return Command(argv=self.arguments(task), env=_environment(task, config))


def plain_environment(home: Path) -> dict[str, str]:
    """Nothing of this machine's or its user's settings, proxies and keys."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}


def _environment(task: Task, config: Path) -> dict[str, str]:
    """One for all tools: each reads what it knows."""
    server, remote = task.server, task.remote
    keys = {_KEY_ID: server.access_key_id, _SECRET: server.secret_access_key}
    return {
        **plain_environment(task.home),
        **keys,
        **remote.env,
        **{name: keys[reference.env] for name, reference in remote.secret_env.items()},
        "RCLONE_CONFIG": os.devnull,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_ENDPOINT_URL": server.endpoint,
        "S3_ENDPOINT_URL": server.endpoint,
    }
