"""Disks that are full or read-only, clocks that jump: each ends as it should, and goes on later."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hps.errors import NotStoredError
from hps.results.journal import Journal
from tests.command import Ran, Record, hps, keys_of, targets_yaml
from tests.disks import Mount
from tests.kills.site import FILES
from tests.proofs import left_to_prove
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_PAGE_BYTES = 4096
_PATIENCE_S = 120.0
_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: 5MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1]}}
repetitions: 2
steps: [upload, download, verify, delete]
"""
_OPERATIONS = 8


class _Site:
    """A small experiment; results go straight to a real server."""

    def __init__(self, folder: Path, server: S3Server, output: Path) -> None:
        self.server, self.output = server, output
        self.name = f"disk-{folder.name}"[:60].rstrip("-_.").lower()
        self.spec = folder / "disk.yaml"
        targets = targets_yaml(server.endpoint, server)
        self.spec.write_text(_SPEC.format(name=self.name, targets=targets))
        self.env = {**keys_of(server), "SALAD_MACHINE_ID": "machine-1"}
        self.home = output / self.name / "machine-1"

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("run", str(self.spec), "--output", str(self.output), "--format", "json")

    def run(self, *options: str) -> Ran:
        ran = hps(*self.arguments, *options, env=self.env)
        assert "Traceback" not in ran.err
        return ran

    def journals(self) -> list[Path]:
        return sorted(self.home.glob("*.jsonl"))

    def objects(self) -> set[str]:
        listed = run_rclone(
            ["lsf", "-R", "--files-only", f"T:{self.server.bucket}/tests"],
            env=remote_environment(self.server),
        )
        return {name for name in listed.stdout.splitlines() if f"/{self.name}/" in name}


def _results(journal: Path) -> list[Record]:
    lines = journal.read_bytes().split(b"\n")[:-1]
    return [record for record in map(json.loads, lines) if record["kind"] == "result"]


def _fill(folder: Path, *, but_pages: int = 0) -> Path:
    """A file that takes all the space but so many pages."""
    free = os.statvfs(folder)
    filler = folder / "filler"
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, (free.f_bavail - but_pages) * free.f_frsize)
    return filler


@pytest.mark.prove
def test_a_full_disk_loses_no_result_and_the_run_goes_on_when_there_is_space(
    s3_server: S3Server, mount: Mount, tmp_path: Path
) -> None:
    site = _Site(tmp_path, s3_server, mount("out", "size=1m"))
    assert site.run().code == 0
    (first,) = site.journals()
    # The lock takes a page; of the journal about two thirds can be written.
    filler = _fill(site.output, but_pages=1 + first.stat().st_size * 2 // 3 // _PAGE_BYTES)

    ran = site.run("--fresh")

    assert ran.code == 6, ran.err
    assert "No space left on device" in ran.err
    second = site.journals()[-1]
    stored = _results(second)
    assert 0 < len(stored) < _OPERATIONS
    assert not [name for name in site.objects() if name.startswith("data/")]

    filler.unlink()
    ran = site.run()

    assert ran.code == 0, ran.err
    assert site.journals() == [first, second]
    assert _results(second)[: len(stored)] == stored
    assert len({r["operation_id"] for r in _results(second) if r["status"] == "ok"}) == _OPERATIONS
    assert Counter(path.suffix for path in site.home.iterdir()) == dict.fromkeys(FILES, 2)


def test_a_disk_that_is_full_from_the_beginning_is_told(
    s3_server: S3Server, mount: Mount, tmp_path: Path
) -> None:
    site = _Site(tmp_path, s3_server, mount("out", "size=1m"))
    filler = _fill(site.output)

    ran = site.run()

    assert ran.code == 6, ran.err
    assert "cannot write results to" in ran.err
    assert "No space left on device" in ran.err
    filler.unlink()
    assert site.run().code == 0


def test_what_is_no_file_is_not_taken_away_for_being_empty(tmp_path: Path) -> None:
    full = tmp_path / "full.jsonl"
    try:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))  # Linux: /dev/full
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")

    with Journal(full) as journal, pytest.raises(NotStoredError, match="No space left on device"):
        journal.append({"kind": "run"})

    assert stat.S_ISCHR(full.stat().st_mode)


def test_a_read_only_folder_is_told(s3_server: S3Server, mount: Mount, tmp_path: Path) -> None:
    site = _Site(tmp_path, s3_server, mount("out", "size=1m,ro"))

    ran = site.run()

    assert ran.code == 6, ran.err
    assert "Read-only file system" in ran.err
    assert "--output" in ran.err
    assert site.objects() == set()


@pytest.mark.prove
def test_a_temporary_folder_that_fills_up_fails_operations_not_the_run(
    s3_server: S3Server, mount: Mount, tmp_path: Path
) -> None:
    temporary = mount("tmp", "size=40m")
    site = _Site(tmp_path, s3_server, tmp_path / "out")
    with subprocess.Popen(
        [sys.executable, "-m", "hps", *site.arguments, "--set", "repetitions=6"],
        env={**os.environ, **site.env, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        said = []
        for line in running.stderr:
            said.append(line)
            if '"operation_done"' in line and not (temporary / "filler").exists():
                filler = _fill(temporary)
        running.wait(_PATIENCE_S)

    (journal,) = site.journals()
    assert running.returncode == 1, said
    assert "Traceback" not in "".join(said)
    failed = [r for r in _results(journal) if r["status"] == "failed"]
    assert failed
    reasons = {r["reason"] for r in failed}
    assert any("no space left" in reason.lower() for reason in reasons), reasons
    assert len(_results(journal)) == 3 * _OPERATIONS
    assert list(temporary.iterdir()) == [filler]

    again = ("--rerun", "failed", "--rerun", "invalid")
    ran = site.run("--set", "repetitions=6", *again)

    assert ran.code == 0, ran.err
    assert {record["status"] for record in ran.results()} == {"ok"}


@pytest.mark.parametrize(
    "stem",
    [
        "20991231T235959999Z-abcdef",
        *left_to_prove("99991231T235959999Z-abcdef", "20269999T999999999Z-abcdef", "zzz"),
    ],
)
def test_runs_of_another_time_are_no_hindrance(
    stem: str, s3_server: S3Server, tmp_path: Path
) -> None:
    """What a clock that was wrong, or somebody, has left in the folder."""
    site = _Site(tmp_path, s3_server, tmp_path / "out")
    site.home.mkdir(parents=True)
    (site.home / f"{stem}.jsonl").write_text('{"kind":"result"}\n')

    ran = site.run()

    assert ran.code == 0, ran.err
    (run_id,) = {record["run_id"] for record in ran.results()}
    assert site.journals()[-1].stem == (run_id if stem.startswith("2099") else stem)
