"""On Azure, too, what a cell declares is what goes over the wire, and what a plan counts.

As `test_declared_is_delivered`, with Azurite for the storage: a part is a block there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.catalog.providers import MIB
from tests.command import AZURE_KEY_ENV, Ran, Record, azure_target_text, hps
from tests.conftest import ProxyFor
from tests.servers.azurite import BlobServer
from tests.servers.faults import Respond, Rule
from tests.servers.proxy import RecordingProxy, Request, data_requests, peak_in_flight

SIZE_BYTES = 65 * MIB
_SPEC = """\
api: hps/v1
name: wire
targets:
{target}
{store}
results: {{target: store}}
data: {{size: {size}, files: {files}}}
matrix: {{chunk_size: [{chunk}], concurrency: [{concurrency}], transfers: [{transfers}]}}
steps: {steps}
"""

_SYNC = "[sync_up, list, sync_down, delete]"


def _write(folder: Path, proxy: RecordingProxy, server: BlobServer, **more: object) -> Path:
    """Data goes through the proxy, results straight to the server."""
    asked = {"size": "65MiB", "files": 1, "chunk": "10MiB", "concurrency": 4, "transfers": 4}
    asked["steps"] = "[upload, download, verify, delete]"
    spec = folder / "wire.yaml"
    text = _SPEC.format(
        target=azure_target_text("az", f"{proxy.endpoint}/{server.account}", server),
        store=azure_target_text("store", server.endpoint, server),
        **{**asked, **more},
    )
    spec.write_text(text)
    return spec


def _run(spec: Path, output: Path, server: BlobServer) -> Ran:
    arguments = (spec, "--no-check", "--output", output, "--format", "json")
    return hps("run", *arguments, env={AZURE_KEY_ENV: server.key})


def _data(proxy: RecordingProxy, way: str) -> tuple[Request, ...]:
    seen = [request for request in proxy.requests() if request.key.startswith("tests/data/")]
    return data_requests(seen, "up" if way == "up" else "down")


def _ranges(chunk_bytes: int) -> list[tuple[int, int | None]]:
    starts = range(0, SIZE_BYTES, chunk_bytes)
    return [(start, min(start + chunk_bytes, SIZE_BYTES) - 1) for start in starts]


@pytest.mark.parametrize(
    ("chunk_mib", "concurrency"),
    [
        (10, 4),
        *(
            pytest.param(chunk, concurrency, marks=pytest.mark.prove)
            for chunk in (1, 5, 25)
            for concurrency in (1, 4, 10)
        ),
    ],
)
def test_every_cell_is_on_the_wire_as_declared(
    chunk_mib: int, concurrency: int, azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    chunk_bytes = chunk_mib * MIB
    streams = min(concurrency, len(_ranges(chunk_bytes)))
    proxy = proxy_for(azurite, min_data_s=0.3, gather=streams)
    spec = _write(tmp_path, proxy, azurite, chunk=f"{chunk_mib}MiB", concurrency=concurrency)

    ran = _run(spec, tmp_path, azurite)

    assert ran.code == 0, ran.err
    up, down = _data(proxy, "up"), _data(proxy, "down")
    ranges = _ranges(chunk_bytes)
    assert {request.kind for request in up} == {"part"}
    sizes = sorted(end - start + 1 for start, end in ranges if end is not None)
    assert sorted(request.body_bytes for request in up) == sizes
    assert peak_in_flight(up) == streams
    if concurrency == 1:
        assert [(request.kind, request.body_bytes) for request in down] == [("get", SIZE_BYTES)]
    else:
        assert {request.kind for request in down} == {"range"}
        assert sorted(request.range for request in down if request.range) == ranges
    assert peak_in_flight(down) == streams
    results = {record["step"]: record for record in ran.results()}
    _agree(results["upload"], up, chunk_bytes, streams)
    _agree(results["download"], down, SIZE_BYTES if concurrency == 1 else chunk_bytes, streams)
    assert results["verify"]["status"] == "ok"


def _agree(result: Record, seen: Sequence[Request], chunk_bytes: int, planned: int) -> None:
    assert result["status"] == "ok", result["reason"]
    effective, observed = result["effective"], result["observed"]
    assert effective["chunk_size_bytes"] == observed["chunk_size_bytes"] == chunk_bytes
    assert effective["concurrency"] == observed["peak_in_flight"] == planned
    assert observed["connections"] == planned
    assert observed["chunks"] == len(seen)
    assert observed["bytes"] == sum(request.body_bytes for request in seen) == SIZE_BYTES
    assert result["retries"] == 0


def test_a_file_of_one_chunk_travels_whole(
    azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(azurite)
    ran = _run(_write(tmp_path, proxy, azurite, size="5MiB", chunk="5MiB"), tmp_path, azurite)
    assert ran.code == 0, ran.err
    assert [request.kind for request in _data(proxy, "up")] == ["put"]
    assert [request.body_bytes for request in _data(proxy, "down")] == [5 * MIB]


def test_a_chunk_that_is_rounded_to_less_than_the_file_is_one_chunk_all_the_same(
    azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    asked = {"size": "6000000B", "chunk": "6000000B", "steps": "[upload, delete]"}
    proxy = proxy_for(azurite)
    ran = _run(_write(tmp_path, proxy, azurite, **asked), tmp_path, azurite)
    assert ran.code == 0, ran.err
    sent = [(request.kind, request.body_bytes) for request in _data(proxy, "up")]
    assert sent == [("put", 6000000)]


def test_files_at_once_times_streams_of_each_are_in_flight(
    azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(azurite, min_data_s=0.3, gather=6)
    asked = {"size": "20MiB", "files": 4, "chunk": "5MiB", "concurrency": 3, "transfers": 2}
    ran = _run(_write(tmp_path, proxy, azurite, **asked), tmp_path, azurite)
    assert ran.code == 0, ran.err
    for way in ("up", "down"):
        moved = _data(proxy, way)
        assert len(moved) == 16
        assert peak_in_flight(moved) in {5, 6}  # rclone ends a file before it begins the next one


@pytest.mark.parametrize(
    "asked",
    [
        {"size": "20MiB", "chunk": "5MiB"},
        {"size": "4MiB", "chunk": "5MiB"},
        {"size": "6MiB", "chunk": "5MiB", "files": 3},
        {
            "size": "6MiB",
            "chunk": "5MiB",
            "files": 2,
            "steps": "[sync_up, list, sync_down, delete]",
        },
    ],
)
def test_requests_are_as_planned(
    asked: dict[str, object], azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(azurite)
    asked = {"steps": "[upload, list, download, delete]", **asked}
    spec = _write(tmp_path, proxy, azurite, **asked)
    planned = json.loads(hps("plan", spec, "--format", "json").out)["estimate"]["requests"]

    ran = _run(spec, tmp_path, azurite)

    assert ran.code == 0, ran.err
    assert Counter(_class_of(request) for request in proxy.requests()) == planned


def _class_of(request: Request) -> str:
    if request.method == "DELETE":
        return "free"
    lists = request.method == "GET" and not request.key
    return "class_a" if lists or request.method == "PUT" else "class_b"


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_requests_that_are_sent_again_are_counted(
    method: str, azurite: BlobServer, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    """By Azure's library, of which rclone's own log has nothing."""
    busy = Respond(status=503, headers={"x-ms-error-code": "ServerBusy"})
    rule = Rule(
        action=busy,
        match=lambda head: head.method == method and head.kind in {"part", "range"},
        times=2,
    )
    proxy = proxy_for(azurite, rules=(rule,))
    ran = _run(_write(tmp_path, proxy, azurite), tmp_path, azurite)
    assert ran.code == 0, ran.err
    retries = {record["step"]: record["retries"] for record in ran.results()}
    again = "upload" if method == "PUT" else "download"
    assert retries == {"upload": 0, "download": 0, "verify": 0, "delete": 0, again: 2}
