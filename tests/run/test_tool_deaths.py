"""A tool that the kernel ends, or that crashes: said as what it is, and whose fault it is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import REPOSITORY, Record, hps
from tests.servers.rclone_s3 import find_rclone

_SPEC = """\
api: hps/v1
name: deaths
targets: {local: {provider: embedded}}
data: {size: 1MiB}
matrix: {chunk_size: [5MiB], concurrency: [2], transfers: [3]}
steps: [upload]
"""
_TOOL = """\
#!/bin/sh
case "$1" in
copyto) DOES ;;
esac
exec RCLONE "$@"
"""
# Far above what hps itself takes: half a GiB where torch is installed, which it asks for the GPUs.
_LIMIT_BYTES = 2 * 1024**3
_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))


def _tool(folder: Path, does: str) -> Path:
    """An rclone that does something else instead of copying a file."""
    path = folder / "rclone"
    path.write_text(_TOOL.replace("DOES", does).replace("RCLONE", find_rclone()))
    path.chmod(0o755)
    return path


def _spec(folder: Path) -> Path:
    path = folder / "deaths.yaml"
    path.write_text(_SPEC)
    return path


@pytest.fixture
def limited() -> Iterator[Path]:
    """A group of processes that may have 2 GiB of memory; it is gone afterwards."""
    name = f"hps-test-{os.getpid()}"
    for root, limit in zip(_ROOTS, ("memory.max", "memory.limit_in_bytes"), strict=True):
        group = root / name
        if not (root / "cgroup.procs").exists() or not os.access(root, os.W_OK):
            continue
        group.mkdir()
        try:
            if not (group / limit).exists():
                continue
            (group / limit).write_text(str(_LIMIT_BYTES))
            yield group
            return
        finally:
            _remove(group)
    pytest.skip("no group of processes with a limit of memory can be made here")


def _remove(group: Path) -> None:
    """The guard of a run that was killed may live for an instant longer than the run."""
    for _ in range(100):
        if not (group / "cgroup.procs").read_text():
            break
        time.sleep(0.1)
    group.rmdir()


def test_the_kernel_that_ends_a_tool_for_memory_is_named(limited: Path, tmp_path: Path) -> None:
    eats = f"exec {sys.executable} -c 'bytearray(5 << 30); print(1)'"
    env = {**os.environ, "HPS_RCLONE": str(_tool(tmp_path, eats))}
    join = f'echo $$ > {limited}/cgroup.procs && exec "$@"'
    run = (sys.executable, "-m", "hps", "run", str(_spec(tmp_path)), "--format", "json")

    done = subprocess.run(
        ("sh", "-c", join, "sh", *run, "--output", str(tmp_path / "out")),
        env=env,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert '"reason_code": "out_of_memory", "reason_owner": "node"' in done.stdout
    assert "chunk x concurrency x transfers is" in done.stdout
    assert "the limit is 2 GiB" in done.stdout


def _only(folder: Path, does: str) -> Record:
    env = {"HPS_RCLONE": str(_tool(folder, does))}
    ran = hps("run", _spec(folder), "--output", folder / "out", "--format", "json", env=env)
    assert ran.code == 1, ran.err
    [result] = ran.results()
    return result


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("kill -SEGV $$", "signal 11 (SIGSEGV)"),
        ("kill -KILL $$", "signal 9 (SIGKILL)"),
        ("echo 'panic: runtime error: index out of range' >&2; exit 2", "panic: runtime error"),
        ("echo 'fatal error: all goroutines are asleep' >&2; exit 2", "all goroutines"),
    ],
)
def test_a_tool_that_crashes_is_told_as_that(does: str, says: str, tmp_path: Path) -> None:
    result = _only(tmp_path, does)

    assert (result["status"], result["reason_code"]) == ("failed", "tool_crashed")
    assert result["reason_owner"] == "tool"
    assert says in result["reason"]


def test_the_runtime_that_gets_no_memory_is_the_machines(tmp_path: Path) -> None:
    result = _only(tmp_path, "echo 'fatal error: runtime: out of memory' >&2; exit 2")

    assert (result["reason_code"], result["reason_owner"]) == ("out_of_memory", "node")
