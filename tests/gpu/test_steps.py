"""`load` and `download_to_gpu` as a person runs them: real rclone, real server, real torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hps.prove.http_head import RequestHead
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Respond, Rule
from tests.servers.proxy import data_requests, peak_in_flight
from tests.servers.s3_server import S3Server

torch = pytest.importorskip("torch", exc_type=ImportError)

_MIB = 1024**2
_ON_GPU = torch.cuda.is_available()
_EMBEDDED = "targets: {local: {provider: embedded}}\n"


# The real rclone, but the log of the measured download comes all at once when it has ended.
_LATE_LOG = """\
#!/bin/sh
case "$*" in
*-to-gpu*) "{rclone}" "$@" 2>"{log}"; code=$?; cat "{log}" >&2; exit $code ;;
*) exec "{rclone}" "$@" ;;
esac
"""


def _run(
    folder: Path,
    targets: str,
    rest: str,
    server: S3Server | None = None,
    env: Mapping[str, str] | None = None,
) -> Ran:
    spec = folder / "gpu.yaml"
    spec.write_text(f"api: hps/v1\nname: gpu\n{targets}{rest}")
    keys = keys_of(server) if server else {}
    return hps(
        "run",
        spec,
        "--no-check",
        "--output",
        folder,
        "--format",
        "json",
        env={**keys, **(env or {})},
    )


def test_load_brings_what_was_uploaded_or_downloaded_to_the_device(tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        _EMBEDDED,
        """\
data: {size: 5MiB}
steps:
  - upload
  - load
  - load: {method: pageable, chunk_size: 3MiB}
  - load: {method: mmap}
  - download
  - load: {method: pinned, chunk_size: 1MiB}
  - delete
""",
    )

    assert ran.code == 0, ran.err
    loads = _of(ran, "load")
    assert [(r["method"], r["load_chunk_size_bytes"]) for r in loads] == [
        ("pinned", 5 * _MIB),
        ("pageable", 3 * _MIB),
        ("mmap", 5 * _MIB),
        ("pinned", _MIB),
    ]
    for record in loads:
        assert record["loaded_bytes"] == 5 * _MIB
        assert record["load_gb_per_s"] > 0
        assert record["page_locked"] == (_ON_GPU and record["method"] == "pinned")
        _on_the_device(record)


@pytest.mark.prove
@pytest.mark.parametrize(
    ("tool", "concurrency", "files"),
    [("rclone", 1, 1), ("rclone", 4, 1), ("s5cmd", 1, 1), ("s5cmd", 4, 1), ("s5cmd", 4, 4)],
)
def test_the_download_is_that_of_download_and_copies_run_beside_it(
    tool: str,
    concurrency: int,
    files: int,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    proxy = proxy_for(s3_server, min_data_s=0.3, gather=concurrency)
    ran = _run(
        tmp_path,
        targets_yaml(proxy.endpoint, s3_server),
        f"""\
data: {{size: 40MiB, files: {files}}}
matrix: {{tool: [{tool}], chunk_size: [5MiB], concurrency: [{concurrency}], transfers: [2]}}
steps: [upload, download, download_to_gpu, delete]
""",
        s3_server,
    )

    assert ran.code == 0, ran.err
    (download,), (to_gpu,) = _of(ran, "download"), _of(ran, "download_to_gpu")
    _agree(download, to_gpu)
    down = data_requests(proxy.requests(), "down")
    once, again = down[: len(down) // 2], down[len(down) // 2 :]
    assert sorted(map(str, (r.range for r in once))) == sorted(map(str, (r.range for r in again)))
    assert peak_in_flight(again) == concurrency * min(files, 2)

    assert to_gpu["duration_s"] >= to_gpu["download_s"]
    # Of the ranges of a lone file s5cmd says nothing before the file is complete.
    known = tool == "rclone" or concurrency == 1 or files > 1
    assert to_gpu["overlapped_bytes"] > 0 or not known
    assert to_gpu["throughput_mbps"] > 0
    assert to_gpu["page_locked"] == _ON_GPU
    _on_the_device(to_gpu)


def _agree(download: Record, to_gpu: Record) -> None:
    """Both were asked for the same, and did the same."""
    for field in ("requested", "effective"):
        assert to_gpu[field] == download[field]
    for field in ("chunks", "chunk_size_bytes", "peak_in_flight", "bytes"):
        assert to_gpu["observed"][field] == download["observed"][field]


@pytest.mark.prove
@pytest.mark.parametrize(("files", "layout"), [(1, "nested"), (12, "nested"), (30, "flat")])
def test_every_shape_of_payload_reaches_the_device(files: int, layout: str, tmp_path: Path) -> None:
    ran = _run(
        tmp_path,
        _EMBEDDED,
        f"""\
data: {{size: 300KiB, files: {files}, layout: {layout}}}
matrix: {{chunk_size: [5MiB, 100KiB]}}
steps: [{{upload: {{chunk_size: 5MiB}}}}, load, download_to_gpu, delete]
""",
    )

    assert ran.code == 0, ran.err
    assert {record["files"] for record in _of(ran, "download_to_gpu")} == {files}
    assert {record["loaded_bytes"] for record in _of(ran, "load")} == {files * 300 * 1024}


@pytest.mark.prove
@pytest.mark.parametrize("concurrency", [1, 4])
def test_other_bytes_than_were_uploaded_fail_the_step(
    concurrency: int, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    part = {"Content-Range": f"bytes 0-{_MIB - 1}/{concurrency * _MIB}"} if concurrency > 1 else {}
    zeros = Respond(status=206 if part else 200, body=bytes(_MIB), headers=part)
    proxy = proxy_for(s3_server, rules=(Rule(match=_first_mebibyte, action=zeros, times=None),))
    ran = _run(
        tmp_path,
        targets_yaml(proxy.endpoint, s3_server),
        f"""\
data: {{size: {concurrency}MiB}}
matrix: {{chunk_size: [1MiB], concurrency: [{concurrency}], checksum: [false]}}
steps: [{{upload: {{chunk_size: 5MiB}}}}, download, load, download_to_gpu, delete]
""",
        s3_server,
    )

    assert ran.code == 1, ran.err
    for step in ("load", "download_to_gpu"):
        (record,) = _of(ran, step)
        assert record["status"] == "failed"
        assert record["reason"].startswith("1 of 1 files differ on ")
        assert record["throughput_mbps"] is None
    assert _of(ran, "download")[0]["status"] == "ok"  # rclone was told not to look


@pytest.mark.prove
def test_what_the_log_tells_too_late_is_copied_in_the_end(rclone_path: str, tmp_path: Path) -> None:
    late = tmp_path / "rclone"
    late.write_text(_LATE_LOG.format(rclone=rclone_path, log=tmp_path / "late.log"))
    late.chmod(0o755)

    ran = _run(
        tmp_path,
        _EMBEDDED,
        """\
data: {size: 4MiB}
matrix: {chunk_size: [1MiB], concurrency: [2]}
steps: [{upload: {chunk_size: 5MiB}}, download_to_gpu, delete]
""",
        env={"HPS_RCLONE": str(late)},
    )

    assert ran.code == 0, ran.err
    _on_the_device(_of(ran, "download_to_gpu")[0])


@pytest.mark.prove
def test_a_download_that_takes_too_long_is_a_time_out(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, min_data_s=8.0)
    ran = _run(
        tmp_path,
        targets_yaml(proxy.endpoint, s3_server),
        "data: {size: 1MiB}\nsteps: [upload, {download_to_gpu: {timeout: 1s}}, delete]\n",
        s3_server,
    )

    (record,) = _of(ran, "download_to_gpu")
    assert (record["status"], record["reason"]) == ("timeout", "stopped after its time-out of 1 s")
    assert _of(ran, "delete")[0]["status"] in {"ok", "skipped"}


def test_the_plan_prints_the_command(tmp_path: Path) -> None:
    spec = tmp_path / "gpu.yaml"
    spec.write_text(
        f"api: hps/v1\nname: gpu\n{_EMBEDDED}data: {{size: 1MiB}}\n"
        "steps: [upload, load, download_to_gpu]\n"
    )
    planned = hps("plan", spec, "--format", "commands")
    assert planned.code == 0, planned.err
    assert "load is done by hps itself" in planned.out
    assert "-to-gpu/0.bin" in planned.out


def _first_mebibyte(head: RequestHead) -> bool:
    return head.method == "GET" and head.direction == "down" and (head.range or (0, 0))[0] == 0


def _of(ran: Ran, step: str) -> list[Record]:
    return [record for record in ran.results() if record["step"] == step]


def _on_the_device(record: dict[str, Any]) -> None:
    assert (record["status"], record["reason"]) == ("ok", "")
    assert record["device"].startswith("cuda:") if _ON_GPU else record["device"] == "cpu"
    assert record["device_memory_bytes"] > 0
    assert record["device_setup_s"] > 0
