"""The first promise: what a cell declares is what goes over the wire, and what the result says.

A recording proxy stands between the real rclone and a real S3 server. It answers no data request
in less than 300 ms, and holds the answers back until as many requests are in flight as declared;
that of the check before a run, too, which is left out therefore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hps.catalog.tools import TOOL_FACTS
from hps.catalog.tools import effective as effective_of
from hps.model import Direction, Knobs, Transfer
from hps.tools import TOOLS
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.for_tool import server_for, tool_params
from tests.servers.nginx_tls import TlsFront
from tests.servers.proxy import Request, data_requests, peak_in_flight
from tests.servers.s3_server import S3Server

MIB = 1024**2
SIZE_BYTES = 65 * MIB
WAYS: tuple[Direction, ...] = ("up", "down")
_SPEC = """\
api: hps/v1
name: wire
{targets}
data: {{size: 65MiB}}
matrix:
  tool: [{tool}]
  chunk_size: [{chunk_mib}MiB]
  concurrency: [{concurrency}]
  checksum: [{checksum}]
steps: [upload, download, verify, delete]
"""
# What a tool's own reports don't show: there its connections are counted, and the proxy has all.
_SILENT = {
    ("obstore", "upload"),
    ("s3parcp", "upload"),
    *((tool, step) for tool in ("awscrt", "aws") for step in ("upload", "download")),
}
_COUNTS_RETRIES = {
    *((tool, step) for tool in ("rclone", "s5cmd", "boto3") for step in ("upload", "download")),
    ("s3parcp", "download"),
}
_SHOWS_ENDS = {("boto3", "upload"), ("boto3", "download"), ("obstore", "download")}


@pytest.mark.prove
@pytest.mark.parametrize("concurrency", [1, 4, 10])
@pytest.mark.parametrize("chunk_mib", [5, 10, 25])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("tool", tool_params(TOOLS))
def test_every_cell_is_on_the_wire_as_declared(
    tool: str,
    scheme: str,
    chunk_mib: int,
    concurrency: int,
    request: pytest.FixtureRequest,
    proxy_for: ProxyFor,
    tls_front: Callable[..., TlsFront],
    tmp_path: Path,
) -> None:
    """Over TLS the server offers HTTP/2, which no cell here asks for."""
    server = server_for(tool, request)
    _check_cell(tool, scheme, (chunk_mib, concurrency), server, proxy_for, tls_front, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("tool", tool_params(TOOLS))
def test_a_cell_is_on_the_wire_as_declared_with_minio_too(
    tool: str,
    scheme: str,
    concurrency: int,
    minio_server: S3Server,
    proxy_for: ProxyFor,
    tls_front: Callable[..., TlsFront],
    tmp_path: Path,
) -> None:
    """It checks signatures, and tells the size of an object's parts, which moto does not."""
    cell = (10, concurrency)
    _check_cell(tool, scheme, cell, minio_server, proxy_for, tls_front, tmp_path)


@pytest.mark.prove
@pytest.mark.parametrize("tool", tool_params(["boto3", "aws", "s3parcp"]))
def test_minio_takes_a_checksum_after_the_body(
    tool: str,
    minio_server: S3Server,
    proxy_for: ProxyFor,
    tls_front: Callable[..., TlsFront],
    tmp_path: Path,
) -> None:
    """Over TLS alone do these tools send it there; what frames it comes on top of each part."""
    proxy = proxy_for(minio_server)
    front = tls_front(proxy.endpoint)
    spec = tmp_path / "wire.yaml"
    targets = targets_yaml(front.endpoint, minio_server, ca_cert=front.ca_cert)
    cell = {"chunk_mib": 10, "concurrency": 4, "checksum": "true"}
    spec.write_text(_SPEC.format(targets=targets, tool=tool, **cell))

    ran = _run(spec, tmp_path, minio_server)

    assert [record["status"] for record in ran.results()] == ["ok"] * 4, ran.out
    seen = [request for request in proxy.requests() if request.key.startswith("tests/data/")]
    more = [request.body_bytes % MIB for request in data_requests(seen, "up")]
    assert len(more) == 7
    assert {0 < some < 1000 for some in more} == {True}


def _check_cell(
    tool: str,
    scheme: str,
    cell: tuple[int, int],
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tls_front: Callable[..., TlsFront],
    tmp_path: Path,
) -> None:
    """One cell, of so many MiB a chunk and so many streams, up, down and verified."""
    chunk_mib, concurrency = cell
    chunk_bytes = chunk_mib * MIB
    up_streams, down_streams = (
        _planned(tool, way, chunk_bytes, concurrency).concurrency for way in WAYS
    )
    # Of a tool that waits for the first range there are fewer on the way down.
    gathered = min(up_streams, down_streams)
    proxy = proxy_for(s3_server, min_data_s=0.3, gather=gathered)
    front = tls_front(proxy.endpoint, http2=True) if scheme == "https" else None
    endpoint, ca_cert = (front.endpoint, front.ca_cert) if front else (proxy.endpoint, None)
    targets = targets_yaml(endpoint, s3_server, ca_cert=ca_cert)
    spec = _write_spec(tmp_path, targets, tool, chunk_mib, concurrency, _checksum(tool, scheme))

    ran = _run(spec, tmp_path, s3_server)

    assert ran.code == 0, ran.err
    results = {record["step"]: record for record in ran.results()}
    assert results["verify"]["status"] == "ok", results["download"]["reason"]
    seen = [request for request in proxy.requests() if request.key.startswith("tests/data/")]
    up, down = data_requests(seen, "up"), data_requests(seen, "down")
    assert gathered <= peak_in_flight(up) <= up_streams
    _check_up(results["upload"], up, chunk_bytes, up_streams)
    assert peak_in_flight(down) == down_streams
    _check_down(results["download"], down, chunk_bytes, down_streams)


def _write_spec(
    folder: Path, targets: str, tool: str, chunk_mib: int, concurrency: int, checksum: str
) -> Path:
    spec = folder / "wire.yaml"
    spec.write_text(
        _SPEC.format(
            targets=targets,
            tool=tool,
            chunk_mib=chunk_mib,
            concurrency=concurrency,
            checksum=checksum,
        )
    )
    return spec


def _check_up(result: Record, seen: Sequence[Request], chunk_bytes: int, streams: int) -> None:
    assert sorted(request.body_bytes for request in seen) == sorted(_sizes(chunk_bytes))
    assert {request.kind for request in seen} == {"part"}
    _agree(result, seen, chunk_bytes, streams)


def _check_down(result: Record, seen: Sequence[Request], chunk_bytes: int, streams: int) -> None:
    whole = streams == 1 and TOOL_FACTS[result["tool"]].whole_at_one
    range_bytes = SIZE_BYTES if whole else chunk_bytes
    assert {request.kind for request in seen} == {"get" if whole else "range"}
    assert sorted(_ranges(seen)) == _expected_ranges(range_bytes)
    _agree(result, seen, range_bytes, streams)


@pytest.mark.parametrize("tool", tool_params(TOOLS))
@pytest.mark.parametrize("size_mib", [5, 4])
def test_a_file_of_one_chunk_travels_whole(
    size_mib: int,
    tool: str,
    request: pytest.FixtureRequest,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    s3_server = server_for(tool, request)
    proxy = proxy_for(s3_server)
    spec = tmp_path / "wire.yaml"
    text = _SPEC.replace("65MiB", f"{size_mib}MiB").format(
        targets=targets_yaml(proxy.endpoint, s3_server),
        tool=tool,
        chunk_mib=5,
        concurrency=4,
        checksum=_checksum(tool, "http"),
    )
    spec.write_text(text)

    ran = _run(spec, tmp_path, s3_server)

    assert ran.code == 0, ran.err
    seen = [request for request in proxy.requests() if request.key.startswith("tests/data/")]
    assert [request.kind for request in data_requests(seen, "up")] == ["put"]
    assert [request.body_bytes for request in data_requests(seen, "down")] == [size_mib * MIB]
    for record in _moved(ran):
        claimed = record["effective"]["concurrency"]
        # A short transfer that its log does not show may be over before its connections are seen.
        assert claimed == 1 or (claimed is None and (tool, record["step"]) in _SILENT)


@pytest.mark.parametrize("tool", tool_params(n for n in TOOLS if not TOOL_FACTS[n].one_pool))
def test_files_at_once_times_streams_of_each_are_in_flight(
    tool: str, request: pytest.FixtureRequest, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    s3_server, streams = server_for(tool, request), 2 if TOOL_FACTS[tool].one_number else 3
    in_flight = 2 * streams
    proxy = proxy_for(s3_server, min_data_s=0.3, gather=in_flight)
    spec = tmp_path / "wire.yaml"
    spec.write_text(
        f"""\
api: hps/v1
name: wire
{targets_yaml(proxy.endpoint, s3_server)}
data: {{size: 20MiB, files: 4}}
matrix: {{tool: [{tool}], chunk_size: [5MiB], concurrency: [{streams}], transfers: [2]}}
steps: [upload, download, verify, delete]
"""
    )

    ran = _run(spec, tmp_path, s3_server)

    assert ran.code == 0, ran.err
    seen = [request for request in proxy.requests() if request.key.startswith("tests/data/")]
    up, down = data_requests(seen, "up"), data_requests(seen, "down")
    for record, moved in zip(_moved(ran), (up, down), strict=True):
        assert len(moved) == 16
        # rclone ends a file before it begins the next one.
        assert peak_in_flight(moved) in {in_flight - 1, in_flight}
        assert record["status"] == "ok"
        assert record["effective"]["concurrency"] in {streams, None}
        assert record["effective"]["transfers"] in {2, None}


@pytest.mark.parametrize("tool", tool_params(n for n in TOOLS if True in TOOL_FACTS[n].http2))
def test_http_1_gives_each_stream_a_connection_and_http_2_folds_them(
    tool: str,
    request: pytest.FixtureRequest,
    tls_front: Callable[..., TlsFront],
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    s3_server = server_for(tool, request)
    front = tls_front(proxy_for(s3_server, min_data_s=0.3, gather=10).endpoint, http2=True)
    spec = tmp_path / "http.yaml"
    spec.write_text(
        f"""\
api: hps/v1
name: http
{targets_yaml(front.endpoint, s3_server, ca_cert=front.ca_cert)}
data: {{size: 60MiB}}
matrix: {{tool: [{tool}], chunk_size: [5MiB], concurrency: [10], http2: [false, true]}}
order: {{kind: declared}}
steps: [upload, download, verify, delete]
"""
    )

    ran = _run(spec, tmp_path, s3_server)

    assert ran.code == 0, ran.err
    moved = _moved(ran)
    assert [(r["step"], r["cell"]["http2"]) for r in moved] == [
        *(("upload", False), ("download", False), ("upload", True), ("download", True)),
    ]
    several, one = moved[:2], moved[2:]
    least = 10 if tool == "rclone" else 2  # s5cmd closes connections that idle
    assert {least <= record["observed"]["connections"] <= 10 for record in several} == {True}
    assert [record["observed"]["connections"] for record in one] == [1, 1]
    assert [record["effective"]["http2"] for record in _moved(ran)] == [False, False, True, True]


def test_http_2_that_the_endpoint_does_not_offer_is_invalid(
    s3_server: S3Server, tls_front: Callable[..., TlsFront], tmp_path: Path
) -> None:
    front = tls_front(s3_server.endpoint, http2=False)
    spec = tmp_path / "http.yaml"
    spec.write_text(
        f"""\
api: hps/v1
name: http
{targets_yaml(front.endpoint, s3_server, ca_cert=front.ca_cert)}
data: {{size: 10MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [2], http2: [true]}}
steps: [upload, delete]
"""
    )

    ran = _run(spec, tmp_path, s3_server)

    assert ran.code == 1
    upload = ran.results()[0]
    assert (upload["status"], upload["reason_code"]) == ("invalid", "not_as_declared")
    assert upload["reason"] == "HTTP/2 was asked for; the endpoint offers only HTTP/1.1"
    assert upload["throughput_mbps"] is None


def _checksum(tool: str, scheme: str) -> str:
    """Over TLS, Amazon's libraries send it after the body, which rclone's server does not take."""
    return str(scheme == "http" or False not in TOOL_FACTS[tool].uploads_checksum).lower()


def _run(spec: Path, output: Path, server: S3Server) -> Ran:
    arguments = (spec, "--no-check", "--output", output, "--format", "json")
    return hps("run", *arguments, env=keys_of(server))


def _agree(result: Record, seen: Sequence[Request], chunk_bytes: int, planned: int) -> None:
    """The proxy's record, the result's `effective` and its `observed` say the same."""
    assert result["status"] == "ok", result["reason"]
    effective, observed = result["effective"], result["observed"]
    assert effective["chunk_size_bytes"] == chunk_bytes
    how = (result["tool"], result["step"])
    is_silent = how in _SILENT
    assert observed["chunk_size_bytes"] == (None if is_silent else chunk_bytes)
    assert observed["chunks"] == (None if is_silent else len(seen))
    if result["tool"] == "rclone":
        assert observed["peak_in_flight"] == observed["connections"] == planned
    else:
        # It closes connections that idle: what was not seen at one look is not claimed.
        assert 1 <= observed["connections"] <= planned
        assert 1 <= observed["peak_in_flight"] <= planned
        if how in _SHOWS_ENDS:
            assert observed["peak_in_flight"] == planned
        elif is_silent or result["step"] == "download":
            assert observed["peak_in_flight"] == observed["connections"]
    in_flight = observed["peak_in_flight"]
    assert effective["concurrency"] == (planned if in_flight == planned else None)
    assert observed["bytes"] == sum(request.body_bytes for request in seen) == SIZE_BYTES
    assert result["retries"] == (0 if how in _COUNTS_RETRIES else None)


def _planned(tool: str, way: Direction, chunk_bytes: int, concurrency: int) -> Transfer:
    asked = Transfer(
        chunk_size_bytes=chunk_bytes,
        concurrency=concurrency,
        transfers=4,
        http2=False,
        checksum=True,
    )
    return effective_of(Knobs(target="s3", tool=tool, size_bytes=SIZE_BYTES), asked, way)


def _ranges(requests: Sequence[Request]) -> list[tuple[int, int]]:
    return [
        (0, request.body_bytes - 1)
        if request.range is None
        else (request.range[0], _end(request.range[1]))
        for request in requests
    ]


def _end(last: int | None) -> int:
    """A range without an end, or with one beyond the file's, ends with the file."""
    return SIZE_BYTES - 1 if last is None else min(last, SIZE_BYTES - 1)


def _expected_ranges(chunk_bytes: int) -> list[tuple[int, int]]:
    """Whatever a tool asks for beyond a file's end, it gets none."""
    return [
        (start, min(start + chunk_bytes, SIZE_BYTES) - 1)
        for start in range(0, SIZE_BYTES, chunk_bytes)
    ]


def _sizes(chunk_bytes: int) -> list[int]:
    return [end - start + 1 for start, end in _expected_ranges(chunk_bytes)]


def _moved(ran: Ran) -> list[Record]:
    records = ran.results()
    return [record for record in records if record["step"] in {"upload", "download"}]
