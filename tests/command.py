"""Running `hps` as a person does: a process of its own, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.azurite import BlobServer
from tests.servers.s3_server import S3Server

REPOSITORY = Path(__file__).resolve().parent.parent
Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def records(self) -> list[Record]:
        """Standard output as JSON, one object a line (`hps run --format json`)."""
        return [json.loads(line) for line in self.out.splitlines()]

    def results(self) -> list[Record]:
        """The result lines among the records."""
        return [record for record in self.records() if record["kind"] == "result"]


def hps(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 300,
) -> Ran:
    """Run `hps` with these arguments; `env` is added to this process' environment."""
    done = subprocess.run(
        [sys.executable, "-m", "hps", *map(str, arguments)],
        env={**os.environ, **(env or {})},
        cwd=cwd or REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def keys_of(server: S3Server) -> dict[str, str]:
    """The environment that the specs of these tests name their secrets by."""
    return {"TEST_KEY_ID": server.access_key_id, "TEST_SECRET": server.secret_access_key}


def targets_yaml(endpoint: str, server: S3Server, *, ca_cert: Path | None = None) -> str:
    """`targets` and `results` of a spec: data goes to `endpoint`, results straight to the server.

    So that what stands at `endpoint` sees the measured operations and nothing else.
    """
    return f"""\
targets:
{target_text("s3", endpoint, server.bucket, ca_cert=ca_cert)}
{target_text("store", server.endpoint, server.bucket, ca_cert=server.ca_cert)}
results: {{target: store}}
"""


def target_text(
    name: str, endpoint: str, bucket: str, *, folder: str = "tests", ca_cert: Path | None = None
) -> str:
    """An entry of `targets`, with the keys that `hps` is given."""
    certificate = f"\n    ca_cert: {ca_cert}" if ca_cert else ""
    return f"""\
  {name}:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    folder: {folder}
    force_path_style: true
    access_key_id: {{env: TEST_KEY_ID}}
    secret_access_key: {{env: TEST_SECRET}}{certificate}"""


AZURE_KEY_ENV = "TEST_ACCOUNT_KEY"


def azure_target_text(
    name: str,
    endpoint: str,
    server: BlobServer,
    *,
    credentials: str = f"account_key: {{env: {AZURE_KEY_ENV}}}",
    ca_cert: Path | None = None,
) -> str:
    """An entry of `targets` for a container of Azure's, with its key unless told otherwise."""
    trusted = ca_cert or server.ca_cert
    certificate = f"\n    ca_cert: {trusted}" if trusted else ""
    return f"""\
  {name}:
    provider: azure
    endpoint: {endpoint}
    account: {server.account}
    bucket: {server.container}
    folder: tests
    {credentials}{certificate}"""
