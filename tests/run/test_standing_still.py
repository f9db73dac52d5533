"""What stood still in the middle of a transfer is no slow transfer: frozen for real, and found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.command import REPOSITORY, Record, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.proxy import RecordingProxy, data_requests
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: still
{targets}
data: {{size: 60MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [2]}}
steps: [upload]
"""
_PATIENCE_S = 60.0
_STILL_S = 4.0
_FREEZER = Path("/sys/fs/cgroup/freezer")
_UNIFIED = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class _Running:
    """A run whose upload is at work."""

    runner: psutil.Process
    tool: psutil.Process

    def everything(self) -> list[psutil.Process]:
        return [self.runner, *self.runner.children(recursive=True)]


def _wait_for_tool(runner: psutil.Process, moving: Callable[[], bool]) -> psutil.Process:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not moving():
        assert time.monotonic() < deadline_s, "no upload began"
        time.sleep(0.02)
    (tool,) = (child for child in runner.children() if "copyto" in child.cmdline())
    return tool


def _parts(proxy: RecordingProxy) -> int:
    seen = data_requests(proxy.requests(settle_s=0), "up")
    return sum(request.key.startswith("tests/data/") for request in seen)


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for one in processes:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            one.send_signal(signal.SIGCONT)


@contextmanager
def _frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """A group of their own that the kernel freezes; skips where none can be made."""
    old = _FREEZER.is_dir()
    root, name = (_FREEZER, "freezer.state") if old else (_UNIFIED, "cgroup.freeze")
    group = root / f"hps-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no group of processes can be made here")
    try:
        for one in processes:
            (group / "cgroup.procs").write_text(str(one.pid))
        (group / name).write_text("FROZEN" if old else "1")
        yield
    finally:
        (group / name).write_text("THAWED" if old else "0")
        for pid in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        group.rmdir()


def _upload_while(
    still: Callable[[_Running], object], server: S3Server, proxy_for: ProxyFor, folder: Path
) -> Record:
    """The result of an upload of 3 s, in the midst of which something happens."""
    proxy = proxy_for(server, min_data_s=0.5)
    spec = folder / "still.yaml"
    spec.write_text(_SPEC.format(targets=targets_yaml(proxy.endpoint, server)))
    run = (sys.executable, "-m", "hps", "run", str(spec), "--format", "json")
    with subprocess.Popen(
        (*run, "--output", str(folder / "out")),
        env={**os.environ, **keys_of(server)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        runner = psutil.Process(running.pid)
        tool = _wait_for_tool(runner, lambda: _parts(proxy) > 2)
        still(_Running(runner=runner, tool=tool))
        out, _ = running.communicate(timeout=_PATIENCE_S)
    lines = [json.loads(line) for line in out.splitlines()]
    (result,) = [line for line in lines if line["kind"] == "result"]
    assert isinstance(result, dict)
    return result


@pytest.mark.prove
@pytest.mark.parametrize(
    ("hold", "what", "code"),
    [
        (_stopped, "tool", "tool_stopped"),
        (_frozen, "tool", "tool_stopped"),
        (_stopped, "runner", "late"),
        (_stopped, "everything", "late"),
        (_frozen, "everything", "late"),
    ],
    ids=["tool-stopped", "tool-frozen", "runner-stopped", "all-stopped", "all-frozen"],
)
def test_what_stood_still_is_no_slow_transfer(
    hold: Callable[[list[psutil.Process]], AbstractContextManager[None]],
    what: str,
    code: str,
    s3_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    def still(running: _Running) -> None:
        chosen = {
            "tool": [running.tool],
            "runner": [running.runner],
            "everything": running.everything(),
        }
        with hold(chosen[what]):
            time.sleep(_STILL_S)

    result = _upload_while(still, s3_server, proxy_for, tmp_path)

    assert (result["status"], result["reason_code"]) == ("invalid", code), result["reason"]
    assert result["throughput_mbps"] is None
    assert " s" in result["reason"]


def test_what_went_on_all_along_is_a_number(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    result = _upload_while(lambda _: None, s3_server, proxy_for, tmp_path)
    assert (result["status"], result["reason"]) == ("ok", "")
