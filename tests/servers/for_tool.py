"""The servers that a tool can be tried on, which tools are tried when, and which are here."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

from hps.catalog.tools import TOOL_FACTS
from hps.tools import PACKAGES, TOOLS
from hps.tools.base import Missing
from tests.servers.s3_server import S3Server

_QUICK = ("rclone", "s5cmd")


def tool_params(names: Iterable[str]) -> list[ParameterSet]:
    """Tools that speak S3 to any host as parameters of a test: all but two are for `make prove`.

    All are installed with the tests, but for those that PyPI has not.
    """
    return [
        pytest.param(name, marks=[needs(name), *(() if name in _QUICK else (pytest.mark.prove,))])
        for name in names
        if "s3" in TOOL_FACTS[name].speaks and not TOOL_FACTS[name].only_at
    ]


def needs(name: str) -> pytest.MarkDecorator:
    """What skips a test of a tool that is not here, and says so."""
    found = None if name in PACKAGES else TOOLS[name].find(os.environ)
    why = f"{found.why}: {found.how_to_get}" if isinstance(found, Missing) else ""
    return pytest.mark.skipif(bool(why), reason=why)


def server_for(tool: str, request: pytest.FixtureRequest) -> S3Server:
    """rclone's; where its answers are not S3's in what the tool insists on, moto's."""
    name = "moto_server" if "embedded" in TOOL_FACTS[tool].not_with else "s3_server"
    server: S3Server = request.getfixturevalue(name)
    return server
