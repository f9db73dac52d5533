"""The published commands, run bare and measured as `hps` measures: the process, its log, its
connections."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.link import Link
from bench.link.settings import Way
from bench.settings.cases import PUBLISHED_BYTES
from hps.data import payload
from hps.data.shape import Shape
from hps.model import SecretRef, Target
from hps.process import process
from hps.process.sockets import ConnectionCounter
from hps.results.record import utc_text
from hps.tools.rclone import command
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.remote import Remote, remote_of

FLAGS = ("--s3-chunk-size=10M", "--transfers=10")
# For the log alone: what is moved and how does not change by it.
_LOGGED = ("--use-json-log", "-vv", "--stats=500ms", "--stats-log-level=NOTICE",
           "--s3-sdk-log-mode=Retries")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The commands in a node; `scratch` is a folder of their own."""

    link: Link
    remote: Remote
    keys: Mapping[str, str]
    scratch: Path
    guard: process.Guard
    file: Path
    timeout_s: float

    def run(self) -> list[dict[str, Any]]:
        """Upload the file under a new name, for rclone passes over what is there; download it."""
        key, local = f"published/{secrets.token_hex(6)}.bin", self.scratch / "down.bin"
        up = ("copyto", str(self.file), self.remote.path(key))
        down = ("copyto", self.remote.path(key), str(local))
        done = [self._measure("up", up), self._measure("down", down)]
        local.unlink(missing_ok=True)
        return done

    def _measure(self, way: Way, what: tuple[str, ...]) -> dict[str, Any]:
        size_bytes = self.file.stat().st_size
        call = command.invocation(
            (*what, *FLAGS, *_cutoff(way, size_bytes), *_LOGGED, *_ca(self.remote)), self.remote
        )
        log, counter = self.scratch / "published.log", ConnectionCounter()
        with self.link.inside():
            ended = process.run(
                call.command(command.find_binary(os.environ), self.keys),
                timeout_s=self.timeout_s,
                guard_process=self.guard,
                stderr=log,
                sampler=counter,
            )
        read = rclone_log.read(log)
        good = ended.ended == "exit" and ended.returncode == 0 and read.copied == 1
        return {
            "way": way,
            "setting": None,
            "mbps": size_bytes * 8 / 1e6 / ended.duration_s if good else None,
            "started_at": utc_text(ended.started_at),
            "duration_s": ended.duration_s,
            "why": "" if good else f"{ended.ended} {ended.returncode}: {read.last_error[:200]}",
            "streams": read.peak_in_flight or 1,
            "chunk_bytes": read.chunk_size_bytes or size_bytes,
            "connections": counter.most_at_once,
            "retries": read.retries,
        }


def make(
    link: Link,
    env: Mapping[str, str],
    *,
    ca_cert: Path | None,
    size_bytes: int,
    scratch: Path,
    guard: process.Guard,
    timeout_s: float,
) -> Published:
    """The commands with a file of random bytes, for a server as `bench.link.s3` describes it."""
    shape = Shape(size_bytes=size_bytes, files=1, content="random", layout="flat")
    made = payload.make(shape, scratch, command.find_binary(os.environ), guard)
    target = Target(
        name="s3",
        provider="other",
        bucket=env["BUCKET"],
        folder=env["FOLDER"],
        endpoint=env["CLOUDFLARE_ENDPOINT_URL"],
        access_key_id=SecretRef(env="CLOUDFLARE_ID"),
        secret_access_key=SecretRef(env="CLOUDFLARE_KEY"),
        force_path_style=True,
        ca_cert=None if ca_cert is None else str(ca_cert),
    )
    return Published(
        link=link,
        remote=remote_of(target),
        keys=env,
        scratch=scratch,
        guard=guard,
        file=made.single_file,
        timeout_s=timeout_s,
    )


def _cutoff(way: Way, size_bytes: int) -> tuple[str, ...]:
    """The published 200 MiB went up in parts, since they reach rclone's cutoff; less would not."""
    small = way == "up" and size_bytes < PUBLISHED_BYTES
    return (f"--s3-upload-cutoff={size_bytes}B",) if small else ()


def _ca(remote: Remote) -> tuple[str, ...]:
    return (f"--ca-cert={remote.ca_cert}",) if remote.ca_cert else ()
