"""What a machine or a name does to a run: a result, or a clear end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import REPOSITORY, hps

_SPEC = """\
api: hps/v1
name: odd
targets: {{{target}: {{provider: embedded}}}}
data: {{size: {size}}}
matrix: {{chunk_size: [5MiB], concurrency: [2]}}
steps: [upload, download, {verify}, delete]
"""


def _write(
    folder: Path, target: str = "local", size: str = "10MiB", verify: str = "verify"
) -> Path:
    path = folder / "odd.yaml"
    path.write_text(_SPEC.format(target=target, size=size, verify=verify))
    return path


def test_a_target_may_have_a_dash_in_its_name(tmp_path: Path) -> None:
    ran = hps("run", _write(tmp_path, "my-r2"), "--output", tmp_path, "--format", "json")

    assert ran.code == 0, ran.err
    assert {result["target"] for result in ran.results()} == {"my-r2"}
    assert {result["status"] for result in ran.results()} == {"ok"}


def test_a_verify_that_takes_too_long_ends_at_its_time_out(tmp_path: Path) -> None:
    spec = _write(tmp_path, size="64MiB", verify="{verify: {timeout: 1ms}}")

    ran = hps("run", spec, "--output", tmp_path, "--format", "json")

    assert ran.code == 1, ran.err
    verify = next(result for result in ran.results() if result["step"] == "verify")
    assert (verify["status"], verify["reason"]) == ("timeout", "stopped after its time-out of 1 ms")
    assert ran.results()[-1]["status"] == "ok"


def test_losing_standard_error_does_not_end_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hps", "run", str(_write(tmp_path)), "--output", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        running.stderr.close()
        out, _ = running.communicate(timeout=120)

    assert running.returncode == 0
    assert b"delete" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_cannot_be_printed_is_no_bug_and_no_success(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hps", "plan", str(_write(tmp_path))]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the answer could not be printed: No space left on device" in done.stderr


def test_a_signal_while_payloads_are_made_ends_the_run(tmp_path: Path) -> None:
    spec, temporary = _write(tmp_path, size="6GiB"), tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "hps", "run", str(spec), "--output", str(tmp_path / "out")]
    env = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "making_payload" in line:
                break
        time.sleep(0.3)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=60)

    assert running.returncode == 143, err
    assert [len(path.read_text().splitlines()) for path in tmp_path.rglob("*.jsonl")] == [1]
    assert list(temporary.iterdir()) == []


def test_a_temporary_folder_with_a_very_long_path_is_refused_with_a_hint(tmp_path: Path) -> None:
    deep = tmp_path / ("long-" * 20)
    deep.mkdir()

    ran = hps("run", _write(tmp_path), "--output", tmp_path / "out", env={"TMPDIR": str(deep)})

    assert ran.code == 2
    assert "too long a path for a socket" in ran.err
    assert "TMPDIR" in ran.err
    assert not list(deep.iterdir())
