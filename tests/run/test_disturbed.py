"""What a run needs is taken away while it is at work: nothing that was measured is lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from hps.tools.rclone import command
from tests.command import REPOSITORY, Ran, Record, hps, keys_of, targets_yaml
from tests.kills.site import FILES
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: 5MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1]}}
repetitions: 3
steps: [upload, download, verify, delete]
"""
_OPERATIONS = 12
_PATIENCE_S = 120.0


class _Site:
    """A small experiment against a real server, in a temporary folder of its own."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.server, self.output, self.temporary = server, folder / "out", folder / "tmp"
        self.temporary.mkdir()
        self.name = f"disturbed-{folder.name}"[:60].rstrip("-_.").lower()
        self.spec = folder / "disturbed.yaml"
        targets = targets_yaml(server.endpoint, server)
        self.spec.write_text(_SPEC.format(name=self.name, targets=targets))
        keys = {**keys_of(server), "SALAD_MACHINE_ID": "machine-1"}
        self.env = {**keys, "TMPDIR": str(self.temporary)}

    def disturbed(self, disturb: Callable[[], object], env: Mapping[str, str] | None = None) -> Ran:
        """A run beside which `disturb` is called once its fifth result is stored."""
        command = [sys.executable, "-m", "hps", "run", str(self.spec), "--output", str(self.output)]
        with subprocess.Popen(
            command,
            env={**os.environ, **self.env, **(env or {})},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stderr is not None
            said, done = "", 0
            for line in running.stderr:
                said, done = said + line, done + ('"operation_done"' in line)
                if done == 5 and '"operation_done"' in line:
                    running.send_signal(signal.SIGSTOP)  # else it could mend what is half done
                    disturb()
                    running.send_signal(signal.SIGCONT)
            running.wait(_PATIENCE_S)
        assert "Traceback" not in said
        return Ran(code=running.returncode, out="", err=said)

    def run(self) -> Ran:
        return hps("run", self.spec, "--output", self.output, env=self.env)

    def results(self) -> list[Record]:
        (journal,) = self.output.rglob("*.jsonl")
        return [json.loads(line) for line in journal.read_text().splitlines()[1:]]

    def check_all_done(self, ended: Ran) -> None:
        """All results are there and well, but for one that ended while the run was held up."""
        results = self.results()
        held_up = [result for result in results if _was_held_up(result)]
        assert len(results) == _OPERATIONS
        assert {result["status"] for result in results if result not in held_up} == {"ok"}
        assert ended.code == (1 if held_up else 0), ended.err

    @property
    def home(self) -> Path:
        """Where its results are on this disk."""
        return self.output / self.name / "machine-1"

    def sent(self) -> str:
        """The journal that the bucket has."""
        (journal,) = self.output.rglob("*.jsonl")
        place = f"tests/results/{self.name}/machine-1/{journal.name}"
        env = remote_environment(self.server)
        return run_rclone(["cat", f"T:{self.server.bucket}/{place}"], env=env).stdout

    def data(self) -> str:
        """What of this experiment's data is in the bucket."""
        place = f"T:{self.server.bucket}/tests/data/{self.name}"
        listed = run_rclone(
            ["lsf", "-R", "--files-only", place], env=remote_environment(self.server), check=False
        )
        return listed.stdout


def _was_held_up(result: Record) -> bool:
    return (result["status"], result["reason_code"]) == ("invalid", "late")


@pytest.fixture
def site(tmp_path: Path, s3_server: S3Server) -> _Site:
    return _Site(tmp_path, s3_server)


def test_without_its_temporary_folder_a_run_ends_and_the_next_one_goes_on(site: _Site) -> None:
    def clean() -> None:
        (folder,) = site.temporary.iterdir()
        folder.rename(site.output / "gone")  # at once, for the run writes to it

    ended = site.disturbed(clean)

    assert ended.code == 1, ended.err
    assert "was removed while the run was at work" in ended.err
    stored = site.results()
    assert 5 <= len(stored) < _OPERATIONS
    assert {result["status"] for result in stored if not _was_held_up(result)} == {"ok"}
    assert len(site.sent().splitlines()) == 1 + len(stored)
    assert (site.data(), list(site.temporary.iterdir())) == ("", [])

    again = site.run()

    assert again.code == 0, again.err
    assert site.results()[: len(stored)] == stored
    assert len({result["operation_id"] for result in site.results() if "step" in result}) == 12


def _removed(home: Path) -> None:
    shutil.rmtree(home)


def _moved(home: Path) -> None:
    home.rename(home.parents[2] / "elsewhere")


@pytest.mark.parametrize("lose", [_removed, _moved])
def test_results_that_somebody_removes_are_put_back(
    lose: Callable[[Path], None], site: _Site
) -> None:
    ended = site.disturbed(lambda: lose(site.home))

    site.check_all_done(ended)
    assert ended.err.count("journal_put_back") == 1
    (journal,) = site.home.glob("*.jsonl")
    assert {path.name for path in site.home.iterdir()} == {f"{journal.stem}{end}" for end in FILES}
    assert site.sent() == journal.read_text()


def test_results_that_can_not_be_put_back_are_told(site: _Site) -> None:
    def replace() -> None:
        shutil.rmtree(site.home)
        site.home.write_text("a file in place of the folder")

    ended = site.disturbed(replace)

    assert ended.code == 6, ended.err
    assert "was removed, and can't be put back" in ended.err


def test_a_guard_that_is_killed_is_replaced(site: _Site) -> None:
    def kill() -> None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                guards = any(word.endswith("hps/process/guard.py") for word in process.cmdline())
                if guards and process.environ().get("TMPDIR") == str(site.temporary):
                    process.kill()

    ended = site.disturbed(kill)

    site.check_all_done(ended)
    assert (site.data(), list(site.temporary.iterdir())) == ("", [])


def test_without_its_rclone_the_sweep_goes_on_to_its_end(site: _Site, tmp_path: Path) -> None:
    copy = tmp_path / "rclone"
    shutil.copy(command.find_binary(os.environ), copy)

    ended = site.disturbed(copy.unlink, env={"HPS_RCLONE": str(copy)})

    assert ended.code == 1, ended.err
    results = site.results()
    assert len(results) == _OPERATIONS
    missing = [result for result in results if result["reason_code"] == "tool_missing"]
    assert any("cannot start" in result["reason"] for result in missing)
    statuses = {result["status"] for result in results if not _was_held_up(result)}
    assert statuses == {"ok", "failed", "skipped"}
    assert len(site.sent().splitlines()) == 1 + _OPERATIONS

    assert site.run().code == 0  # a run that has what it needs removes what is left
    assert site.data() == ""


def _wait_until(done: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < ends_s, "it did not happen in time"
        time.sleep(0.005)


def test_what_ends_while_the_runner_stands_still_is_no_number(site: _Site) -> None:
    uploads: list[psutil.Process] = []

    def uploading() -> bool:
        for process in runner.children():
            with contextlib.suppress(psutil.Error):
                uploads.extend([process] if "copyto" in process.cmdline() else [])
        return bool(uploads)

    site.spec.write_text(site.spec.read_text().replace("size: 5MiB", "size: 50MiB"))
    # The check before a run uploads, too.
    how = [str(site.spec), "--no-check", "--output", str(site.output)]
    command = [sys.executable, "-m", "hps", "run", *how]
    with subprocess.Popen(command, env={**os.environ, **site.env}, cwd=REPOSITORY) as running:
        runner = psutil.Process(running.pid)
        _wait_until(uploading)
        runner.suspend()
        _wait_until(lambda: uploads[0].status() == psutil.STATUS_ZOMBIE)
        time.sleep(1.5)
        runner.resume()
        assert running.wait(_PATIENCE_S) == 1

    upload, *others = site.results()
    assert (upload["status"], upload["throughput_mbps"]) == ("invalid", None)
    assert "hps stood still for" in upload["reason"]
    assert {result["status"] for result in others} == {"ok"}
