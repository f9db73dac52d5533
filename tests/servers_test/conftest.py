"""Payloads, and the S3 servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.rclone_client import make_payload
from tests.servers.s3_server import S3Server


@pytest.fixture(scope="session")
def payload_200mib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 MiB that cannot be compressed."""
    return make_payload(tmp_path_factory.mktemp("payload") / "200MiB.bin", "200Mi")


@pytest.fixture(scope="session")
def payload_15mib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 MiB that cannot be compressed: three parts of the smallest size."""
    return make_payload(tmp_path_factory.mktemp("payload") / "15MiB.bin", "15Mi")


@pytest.fixture(params=["s3_server", "moto_server", "minio_server"])
def any_server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the S3 servers in turn."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, S3Server)
    return server
