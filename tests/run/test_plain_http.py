"""A target over plain HTTP, for each provider that may have one: what is measured is stored too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clean.bucket import Bucket
from tests.command import hps, keys_of, target_text
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: plain-http
targets:
{target}
data: {{size: 6MiB}}
matrix: {{chunk_size: [5MiB, 10MiB]}}
order: {{kind: declared}}
steps: [upload, download, verify, delete]
"""


@pytest.mark.prove
@pytest.mark.parametrize("provider", ["aws", "minio", "other"])
def test_single_objects_and_results_arrive_over_plain_http(
    moto_server: S3Server, tmp_path: Path, provider: str
) -> None:
    folder = f"plain-http-{provider}"
    target = target_text("s3", moto_server.endpoint, moto_server.bucket, folder=folder)
    target = target.replace("provider: other", f"provider: {provider}")
    if provider == "aws":  # which takes no such key
        target = target.replace("    force_path_style: true\n", "")
    spec = tmp_path / "plain.yaml"
    spec.write_text(_SPEC.format(target=target))
    ran = hps("run", spec, "--output", tmp_path, "--format", "json", env=keys_of(moto_server))
    assert ran.code == 0, ran.err
    assert {record["status"] for record in ran.results()} == {"ok"}
    stored = [key for key in Bucket(server=moto_server).objects() if key.startswith(f"{folder}/")]
    assert any(key.endswith(".jsonl") for key in stored), stored
