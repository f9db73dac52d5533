"""Which of the servers a tool can be tried on."""

from __future__ import annotations

import pytest

from hps.catalog.tools import TOOL_FACTS
from tests.servers.s3_server import S3Server


def server_for(tool: str, request: pytest.FixtureRequest) -> S3Server:
    """rclone's; where its answers are not S3's in what the tool insists on, moto's."""
    name = "moto_server" if "embedded" in TOOL_FACTS[tool].not_with else "s3_server"
    server: S3Server = request.getfixturevalue(name)
    return server
