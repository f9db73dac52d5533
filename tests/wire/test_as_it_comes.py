"""A tool that is told nothing: the result says what it does of its own, as the plan expected it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from hps.catalog.tools import effective
from hps.model import Knobs, Settings
from hps.tools import TOOLS
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.for_tool import server_for, tool_params
from tests.servers.proxy import Request, data_requests
from tests.servers.s3_server import S3Server

Way = Literal["up", "down"]
MIB = 1024**2
_SPEC = """\
api: hps/v1
name: wire
{targets}
data: {{size: {size_mib}MiB}}
matrix: {{tool: [{tool}], {knobs}}}
steps: [upload, download, verify, delete]
"""
_NOTHING = Settings(
    chunk_size_bytes=None, concurrency=None, transfers=None, http2=None, checksum=None
)
_LARGE = pytest.param(280, marks=pytest.mark.prove)  # rclone cuts no smaller file


@pytest.mark.parametrize("tool", tool_params(TOOLS))
@pytest.mark.parametrize("size_mib", [65, _LARGE])
def test_what_it_does_of_its_own_is_seen(
    size_mib: int, tool: str, request: pytest.FixtureRequest, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    server = server_for(tool, request)
    proxy = proxy_for(server)
    spec, knobs = tmp_path / "wire.yaml", "settings: [default]"
    text = _SPEC.format(
        targets=targets_yaml(proxy.endpoint, server), tool=tool, knobs=knobs, size_mib=size_mib
    )
    spec.write_text(text)

    ran = _run(spec, tmp_path, server)

    assert ran.code == 0, ran.err
    results = {record["step"]: record for record in ran.results()}
    assert results["verify"]["status"] == "ok"
    ways: tuple[tuple[str, Way], ...] = (("upload", "up"), ("download", "down"))
    moved = [one for one in proxy.requests() if one.key.startswith("tests/data/")]
    for step, way in ways:
        seen = data_requests(moved, way)
        _check(results[step], seen, _expected_bytes(tool, size_mib * MIB, way))


def _run(spec: Path, output: Path, server: S3Server) -> Ran:
    arguments = (spec, "--no-check", "--output", output, "--format", "json")
    return hps("run", *arguments, env=keys_of(server))


def _expected_bytes(tool: str, size_bytes: int, way: Way) -> int:
    knobs = Knobs(target="s3", tool=tool, size_bytes=size_bytes, settings="default")
    return effective(knobs, _NOTHING, way).chunk_size_bytes


def _check(result: Record, seen: Sequence[Request], expected_bytes: int) -> None:
    largest_bytes = max(request.body_bytes for request in seen)
    assert largest_bytes == expected_bytes
    assert sum(request.body_bytes for request in seen) == result["size_bytes"]
    asked = ("chunk_size_bytes", "concurrency", "transfers", "http2", "checksum")
    assert [result["requested"][name] for name in asked] == [None] * 5
    said = result["observed"]["chunk_size_bytes"]
    assert said in {largest_bytes, None}
    assert result["effective"]["chunk_size_bytes"] == said
    assert result["observed"]["chunks"] in {len(seen), None}


def test_one_knob_is_left_to_the_tool_and_the_others_are_told(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    server = s3_server
    proxy, spec = proxy_for(server), tmp_path / "wire.yaml"
    knobs = "chunk_size: [5MiB], concurrency: [default]"
    targets = targets_yaml(proxy.endpoint, server)
    spec.write_text(_SPEC.format(targets=targets, tool="s5cmd", knobs=knobs, size_mib=25))

    ran = _run(spec, tmp_path, server)

    assert ran.code == 0, ran.err
    upload = ran.results()[0]
    assert upload["cell"] == {"tool": "s5cmd", "chunk_size": "5MiB", "concurrency": "default"}
    assert upload["requested"]["chunk_size_bytes"] == upload["effective"]["chunk_size_bytes"]
    assert upload["requested"]["concurrency"] is upload["effective"]["concurrency"] is None
    moved = [one for one in proxy.requests() if one.key.startswith("tests/data/")]
    sizes = [one.body_bytes for one in data_requests(moved, "up")]
    assert sizes == [5 * MIB] * 5
