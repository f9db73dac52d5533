"""gsutil on the wire: to Google's and Amazon's own hosts, which here are moto behind a proxy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.command import Ran, Record, hps, keys_of
from tests.servers.for_tool import needs
from tests.servers.forward import FaultyForwardProxy, OwnHost, own_host_targets
from tests.servers.proxy import Request, data_requests, peak_in_flight
from tests.servers.s3_server import S3Server

pytestmark = [pytest.mark.prove, needs("gsutil")]
MIB = 1024**2
SIZE_BYTES = 20 * MIB
_SPEC = """\
api: hps/v1
name: wire
{targets}
data: {{size: {size}, files: {files}, layout: {layout}}}
matrix: {{tool: [gsutil], {knobs}}}
timeout: 100s
steps: [upload, download, verify, delete]
"""
_WAYS: tuple[tuple[str, Literal["up", "down"]], ...] = (("upload", "up"), ("download", "down"))


def _run(
    folder: Path,
    proxy: FaultyForwardProxy,
    server: S3Server,
    provider: OwnHost,
    knobs: str,
    *,
    ca_cert: Path | None = None,
    **data: Any,
) -> Ran:
    spec = folder / "wire.yaml"
    targets = own_host_targets(provider, "https" if ca_cert else "http", server, ca_cert)
    shape = {"size": "20MiB", "files": 1, "layout": "flat", **data}
    spec.write_text(_SPEC.format(targets=targets, knobs=knobs, **shape))
    options = ("--no-check", "--output", folder / "out", "--format", "json")
    return hps("run", spec, *options, env=keys_of(server) | proxy.env)


def _moved(proxy: FaultyForwardProxy, way: Literal["up", "down"]) -> Sequence[Request]:
    seen = [one for one in proxy.requests() if one.key.startswith("tests/data/")]
    return data_requests(seen, way)


@pytest.mark.parametrize(
    ("knobs", "asked"),
    [
        ("settings: [default]", (None, None)),
        ("chunk_size: [20MiB], concurrency: [4]", (SIZE_BYTES, 4)),
    ],
)
@pytest.mark.parametrize("provider", ["gcs", "aws"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_file_is_one_request_each_way(
    scheme: str,
    provider: OwnHost,
    knobs: str,
    asked: tuple[int | None, int | None],
    moto_server: S3Server,
    forward_for: Callable[..., tuple[FaultyForwardProxy, Path]],
    tmp_path: Path,
) -> None:
    proxy, ca_cert = forward_for(moto_server, min_data_s=0.3)
    trusted = ca_cert if scheme == "https" else None
    ran = _run(tmp_path, proxy, moto_server, provider, knobs, ca_cert=trusted)

    assert ran.code == 0, ran.err + ran.out
    results = {record["step"]: record for record in ran.results()}
    for step, way in _WAYS:
        (seen,) = _moved(proxy, way)
        assert (seen.body_bytes, seen.version) == (SIZE_BYTES, "HTTP/1.1")
        _check(results[step], asked)


def _check(result: Record, asked: tuple[int | None, int | None]) -> None:
    chunk_bytes, streams = asked
    assert (result["status"], result["proof"], result["retries"]) == ("ok", "sockets", None)
    assert result["requested"]["chunk_size_bytes"] == chunk_bytes
    assert result["effective"]["chunk_size_bytes"] == chunk_bytes
    assert result["effective"]["concurrency"] in {streams and 1, None}
    assert result["observed"]["bytes"] == SIZE_BYTES
    assert result["observed"]["connections"] == 1
    assert result["tool_version"] == "5.38"


@pytest.mark.parametrize("transfers", [1, 3])
@pytest.mark.parametrize("provider", ["gcs", "aws"])
def test_so_many_files_are_moved_at_once(
    provider: OwnHost,
    transfers: int,
    moto_server: S3Server,
    forward_for: Callable[..., tuple[FaultyForwardProxy, Path]],
    tmp_path: Path,
) -> None:
    proxy, _ = forward_for(moto_server, min_data_s=0.3, gather=transfers)
    knobs = f"settings: [default], transfers: [{transfers}]"
    ran = _run(tmp_path, proxy, moto_server, provider, knobs, files=6, size="1MiB")

    assert ran.code == 0, ran.err + ran.out
    for record, (step, way) in zip(ran.results(), _WAYS, strict=False):
        seen = _moved(proxy, way)
        assert [one.body_bytes for one in seen] == [MIB] * 6
        assert peak_in_flight(seen) == transfers
        assert (record["step"], record["requested"]["transfers"]) == (step, transfers)
        assert record["effective"]["transfers"] in {transfers, None}


@pytest.mark.parametrize(
    "data",
    [
        {"size": "8MiB"},
        {"size": f"{8 * MIB - 1}B"},
        {"size": "1MiB", "files": 12},
        {"size": "8MiB", "files": 3, "layout": "nested"},
    ],
    ids=lambda data: "-".join(map(str, data.values())),
)
@pytest.mark.parametrize("provider", ["gcs", "aws"])
def test_requests_are_as_planned(
    provider: OwnHost,
    data: dict[str, Any],
    moto_server: S3Server,
    forward_for: Callable[..., tuple[FaultyForwardProxy, Path]],
    tmp_path: Path,
) -> None:
    """Google's larger uploads are begun by a request of their own."""
    proxy, _ = forward_for(moto_server)
    ran = _run(tmp_path, proxy, moto_server, provider, "settings: [default]", **data)

    assert ran.code == 0, ran.err + ran.out
    spec = tmp_path / "wire.yaml"
    plan: dict[str, Any] = json.loads(hps("plan", spec, "--format", "json").out)
    seen = [_class_of(one) for one in proxy.requests() if "tests/" in one.key + one.query]
    assert {kind: seen.count(kind) for kind in ("class_a", "class_b", "free")} == (
        plan["estimate"]["requests"]
    )


def _class_of(request: Request) -> str:
    lists = request.method == "GET" and not request.key
    if request.method == "DELETE":
        return "free"
    return "class_a" if lists or request.method in {"PUT", "POST"} else "class_b"
