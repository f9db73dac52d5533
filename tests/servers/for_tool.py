"""Which of the servers a tool can be tried on, and which tools `make test` tries."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

from hps.catalog.tools import TOOL_FACTS
from tests.servers.s3_server import S3Server

_QUICK = ("rclone", "s5cmd")


def tool_params(names: Iterable[str]) -> list[ParameterSet]:
    """Tools as parameters of a test: but for two of them, it is left to `make prove`."""
    return [
        pytest.param(name, marks=() if name in _QUICK else (pytest.mark.prove,)) for name in names
    ]


def server_for(tool: str, request: pytest.FixtureRequest) -> S3Server:
    """rclone's; where its answers are not S3's in what the tool insists on, moto's."""
    name = "moto_server" if "embedded" in TOOL_FACTS[tool].not_with else "s3_server"
    server: S3Server = request.getfixturevalue(name)
    return server
