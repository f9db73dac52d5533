"""A bucket of one's own to collect from, and what is in it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Ran, hps
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A folder in a bucket that no other test uses, as `s3:` has it."""

    server: S3Server
    folder: str
    work: Path

    def env(self, endpoint: str = "") -> dict[str, str]:
        """The variables of `s3:`."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.server.endpoint,
            "AWS_REGION": "auto",
            "AWS_ACCESS_KEY_ID": self.server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_access_key,
            "BUCKET": self.server.bucket,
            "FOLDER": self.folder,
        }

    def put(self, local: Path, below: str = "results") -> None:
        """Copy a folder's files into the bucket."""
        self._rclone("copy", "--ignore-times", str(local), self._path(below))

    def files(self, below: str = "results") -> dict[str, bytes]:
        """What is in the bucket, by name."""
        copied = self.work / f"seen-{secrets.token_hex(4)}"
        copied.mkdir()
        self._rclone("copy", self._path(below), str(copied))
        found = {str(p.relative_to(copied)): p.read_bytes() for p in sorted(copied.rglob("*.*"))}
        shutil.rmtree(copied)
        return found

    def hps(
        self, *arguments: str | Path, endpoint: str = "", env: Mapping[str, str] | None = None
    ) -> Ran:
        """`hps results …` with this bucket as `s3:`, in a folder of the test's own."""
        whole = {**self.env(endpoint), **(env or {})}
        return hps("results", *arguments, env=whole, cwd=self.work)

    def _path(self, below: str) -> str:
        return f"T:{self.server.bucket}/{self.folder}/{below}"

    def _rclone(self, *arguments: str) -> None:
        run_rclone(arguments, env=remote_environment(self.server))


def bucket_of(server: S3Server, work: Path) -> Bucket:
    """An empty folder in the server's bucket."""
    return Bucket(server=server, folder=f"collect-{secrets.token_hex(4)}", work=work)


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Bucket:
    """On `rclone serve s3`."""
    return bucket_of(s3_server, tmp_path)


@pytest.fixture
def other_bucket(moto_server: S3Server, tmp_path: Path) -> Bucket:
    """On moto."""
    return bucket_of(moto_server, tmp_path)
