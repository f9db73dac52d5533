"""Signals: what is done is stored, and nothing is left running or lying about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.command import REPOSITORY

_SPEC = """\
api: hps/v1
name: stopping
targets: {local: {provider: embedded}}
data: {size: 40MiB}
matrix: {chunk_size: [5MiB], concurrency: [1, 2, 4]}
repetitions: 50
steps: [upload, download, verify, delete]
"""
_PATIENCE_S = 60.0


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def _start(folder: Path) -> subprocess.Popen[str]:
    spec, temporary = folder / "stopping.yaml", folder / "tmp"
    temporary.mkdir()
    spec.write_text(_SPEC)
    command = [sys.executable, "-m", "hps", "run", str(spec), "--output", str(folder / "out")]
    return subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temporary)},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _results(folder: Path) -> list[dict[str, object]]:
    lines = [
        line
        for path in (folder / "out").rglob("*.jsonl")
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]
    return [record for record in map(json.loads, lines) if record["kind"] == "result"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_run_and_keeps_what_is_done(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with _start(tmp_path) as running:
        _wait_for(lambda: len(_results(tmp_path)) >= 3)
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(number)
        out, err = running.communicate(timeout=_PATIENCE_S)

    assert running.returncode == code, err
    assert "upload" in out
    statuses = [result["status"] for result in _results(tmp_path)]
    assert statuses[:3] == ["ok"] * 3
    assert set(statuses[:-1]) == {"ok"}
    assert statuses[-1] in {"ok", "interrupted"}
    assert list(tmp_path.rglob("*.csv"))
    assert list(tmp_path.rglob("*.txt"))
    _wait_for(lambda: not any(child.is_running() for child in children))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_sigkill_leaves_no_process_and_no_temporary_file(tmp_path: Path) -> None:
    with _start(tmp_path) as running:
        _wait_for(lambda: len(_results(tmp_path)) >= 2)
        children = psutil.Process(running.pid).children(recursive=True)
        assert any("serve" in child.cmdline() for child in children)
        running.kill()
        running.communicate(timeout=_PATIENCE_S)

    _wait_for(lambda: not any(child.is_running() for child in children))
    _wait_for(lambda: not list((tmp_path / "tmp").iterdir()))
    assert len(_results(tmp_path)) >= 2


_HANGS = """\
import time
from hps.process.stop import on_signals
with on_signals(latest_s=0.5):
    print("ready", flush=True)
    while True:
        time.sleep(1)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_hangs_after_a_signal_is_ended_all_the_same(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HANGS],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        _, err = running.communicate(timeout=_PATIENCE_S)

    assert running.returncode == code
    assert "stopping took too long" in err
