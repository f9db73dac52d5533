"""Each tool's arrivals are those of a download that it really makes."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from hps.catalog.tools import TOOL_FACTS
from hps.process import process
from hps.run_folder import OwnFolder
from hps.tools import TOOLS
from hps.tools.base import Installed, Running
from tests.builders import S3, make_running
from tests.command import keys_of
from tests.servers.for_tool import server_for, tool_params
from tests.servers.s3_server import S3Server

_TOOLS = [name for name, facts in TOOL_FACTS.items() if "download_to_gpu" in facts.steps]
_NAMES = ("0.bin", "1/1.bin", "2/10.bin")


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("names", [_NAMES[1:2], _NAMES], ids=["one file", "folder"])
@pytest.mark.parametrize("tool", tool_params(_TOOLS))
def test_whole_files_arrive_under_their_names(
    tool: str,
    names: tuple[str, ...],
    streams: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    s3_server = server_for(tool, request)
    down = _running(names, streams, s3_server, tmp_path)
    _upload(tool, names, down, s3_server, tmp_path / "up")
    arrivals = TOOLS[tool].arrivals(down)
    assert list(arrivals.new()) == []

    _run(tool, down, s3_server)

    arrived = list(arrivals.new())
    assert {arrival.name for arrival in arrived} == set(names)
    assert sorted(arrival.name for arrival in arrived if arrival.stop is None) == sorted(names)
    for name in names:
        (place,) = arrivals.places(Path(down.job.local) / name)
        assert place.read_bytes() == (tmp_path / "up" / name).read_bytes()


def _running(names: tuple[str, ...], streams: int, server: S3Server, folder: Path) -> Running:
    (folder / "down").mkdir()
    target = replace(S3, endpoint=server.endpoint, bucket=server.bucket)
    lone = names[0] if len(names) == 1 else None
    running = make_running(folder / "down", name=lone, streams=streams)
    trial = sha256(str(folder).encode()).hexdigest()[:12]
    own = OwnFolder(f"data/unit/20261122T101530123Z-5f3a9c/{trial}")
    job = replace(running.job, target=target, folder=own, files=len(names))
    return replace(running, job=job, out=folder / "out", log=folder / "log")


def _upload(
    tool: str, names: tuple[str, ...], down: Running, server: S3Server, folder: Path
) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(down.job.size_bytes))
    up = replace(down.job, movement="upload", local=str(folder))
    out, log = (folder.with_suffix(suffix) for suffix in (".out", ".log"))
    _run(tool, replace(down, job=up, out=out, log=log), server)


def _run(tool: str, running: Running, server: S3Server) -> None:
    found = TOOLS[tool].find(os.environ)
    assert isinstance(found, Installed)
    call, scratch = TOOLS[tool].call(running.job), running.out.parent
    call.write_files(scratch)
    with process.Guard() as guard:
        ended = process.run(
            call.command(found.program, keys_of(server), scratch),
            timeout_s=60,
            guard_process=guard,
            stdout=running.out,
            stderr=running.log,
        )
    assert ended.returncode == 0, running.log.read_text()
