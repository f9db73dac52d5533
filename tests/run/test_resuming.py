"""A run that was ended goes on where it was: nothing is lost, nothing is measured twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.command import REPOSITORY, Ran, hps, keys_of, targets_yaml
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: {size}}}
matrix: {{chunk_size: [5MiB], concurrency: [1, 2]}}
repetitions: 2
steps: [upload, download, verify, delete]
"""
_OPERATIONS = 16
_PATIENCE_S = 60.0
Record = dict[str, Any]


class _Site:
    """An experiment of this test alone, its output folder and its S3 server."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.folder, self.server, self.output = folder, server, folder / "out"
        self.name = f"resume-{folder.name}"[:60].rstrip("-_.").lower()
        self.env = {**keys_of(server), "SALAD_MACHINE_ID": "machine-1"}
        self.spec = folder / "resume.yaml"
        self.write()

    def write(self, size: str = "6MiB") -> None:
        targets = targets_yaml(self.server.endpoint, self.server)
        self.spec.write_text(_SPEC.format(name=self.name, targets=targets, size=size))

    def run(self, *options: str, env: dict[str, str] | None = None) -> Ran:
        arguments: tuple[str | Path, ...] = (
            self.spec,
            "--output",
            self.output,
            "--format",
            "json",
            *options,
        )
        return hps("run", *arguments, env=env or self.env)

    def killed(self, when: Callable[[], bool]) -> None:
        """Run, and SIGKILL it as soon as `when` is true."""
        with self._running(when) as child:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=10)

    def goes_on(self, when: Callable[[], bool]) -> tuple[int, str]:
        """Run, let it go on once `when` is true, and return its code and what it said."""
        with self._running(when) as child:
            child.send_signal(signal.SIGCONT)
            code = child.wait(timeout=_PATIENCE_S)
        return code, (self.folder / "running.err").read_text()

    @contextmanager
    def _running(self, when: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "running.err").open("wb") as err:
            child = subprocess.Popen(
                [sys.executable, "-m", "hps", "run", str(self.spec), "--output", str(self.output)],
                env={**os.environ, **self.env},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
            deadline_s = time.monotonic() + _PATIENCE_S
            try:
                while not when():
                    assert child.poll() is None, (self.folder / "running.err").read_text()
                    assert time.monotonic() < deadline_s
                    time.sleep(0.005)
                yield child
            finally:
                child.kill()
                child.wait(timeout=10)

    def hold(self) -> None:
        """Stop the run that goes on where it is, so that it is not over too soon."""
        told = json.loads(self.journals()[-1].with_name(".lock").read_text())
        os.kill(told["pid"], signal.SIGSTOP)

    def journals(self) -> list[Path]:
        return sorted(self.output.rglob("*.jsonl"))

    def lines(self) -> list[Record]:
        (journal,) = self.journals()
        text = journal.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def results(self) -> list[Record]:
        return [line for line in self.lines() if line["kind"] == "result"]

    def objects(self) -> list[str]:
        """What this experiment has in the bucket."""
        listed = run_rclone(
            ["lsf", "-R", "--files-only", f"T:{self.server.bucket}/tests"],
            env=remote_environment(self.server),
        )
        return [name for name in listed.stdout.splitlines() if f"/{self.name}/" in name]

    def sent_journals(self) -> list[str]:
        return [name for name in self.objects() if name.endswith(".jsonl")]

    def stored(self, name: str) -> str:
        """What the bucket has of an object of this experiment."""
        source = f"T:{self.server.bucket}/tests/{name}"
        return run_rclone(["cat", source], env=remote_environment(self.server)).stdout

    def make_old(self, name: str) -> None:
        """As if nobody had written to a journal for months."""
        place = f"T:{self.server.bucket}/tests/{name}"
        arguments = ["touch", "--timestamp", "2026-01-01T00:00:00", place]
        run_rclone(arguments, env=remote_environment(self.server))

    def age_s(self, name: str) -> float:
        """How old a journal in the bucket is, as a start elsewhere sees it."""
        place = f"T:{self.server.bucket}/tests/{name}"
        told = run_rclone(["lsjson", place], env=remote_environment(self.server)).stdout
        # The server also has a part of it beside it, while it is being sent, and may list both by
        # the same name while one takes the other's place.
        alike = [one for one in json.loads(told) if one["Name"] == Path(name).name]
        found = max(alike, key=lambda one: str(one["ModTime"]))
        return time.time() - datetime.fromisoformat(found["ModTime"]).timestamp()

    def has(self, results: int) -> Callable[[], bool]:
        """True once that many results are on disk and the next operation is under way."""

        def so_far() -> bool:
            if not self.journals() or len(self.results()) < results:
                return False
            return "operation_id" in self.journals()[-1].with_name(".lock").read_text()

        return so_far


@pytest.fixture
def site(tmp_path: Path, s3_server: S3Server) -> _Site:
    return _Site(tmp_path, s3_server)


def _check_all_done(site: _Site) -> None:
    """Every operation of the plan has one final result, and the bucket the results alone."""
    final = Counter(r["operation_id"] for r in site.results() if r["status"] != "interrupted")
    assert len(final) == _OPERATIONS
    assert set(final.values()) == {1}
    assert {Path(name).suffix for name in site.objects()} == {".jsonl", ".csv", ".txt"}


@pytest.mark.parametrize("results", [0, 1, 5, 14])
def test_after_a_kill_the_same_run_goes_on(results: int, site: _Site) -> None:
    site.killed(site.has(results))
    before = site.results()
    under_way = json.loads((site.output / site.name / "machine-1" / ".lock").read_text())

    ran = site.run()

    assert ran.code == 0, ran.err
    assert site.results()[: len(before)] == before
    _check_all_done(site)
    interrupted = [r for r in site.results() if r["status"] == "interrupted"]
    stored = {r["operation_id"] for r in before}
    expected = {under_way["operation_id"]} - stored
    assert {r["operation_id"] for r in interrupted} == expected
    assert all(r["reason"] == "hps was ended while it ran" for r in interrupted)
    (resumed,) = [line for line in site.lines() if line["kind"] == "resume"]
    assert resumed["operations_left"] == _OPERATIONS - len(before)
    assert [record["status"] for record in ran.results()] == ["ok"] * _OPERATIONS
    assert not (site.output / site.name / "machine-1" / ".lock").exists()


@pytest.mark.prove
@pytest.mark.parametrize(
    ("machine", "lost"),
    [("machine-1", ".jsonl .csv .txt"), ("", ".jsonl .csv .txt"), ("machine-1", ".csv .txt")],
    ids=["all of it", "all of it, by hand", "its tables"],
)
def test_what_was_finished_but_never_sent_is_sent_by_the_next(
    machine: str, lost: str, site: _Site
) -> None:
    """As a kill after the last operation leaves it; by hand, too, where a new run begins.

    A bucket that has the journal, as long as it is here, may still lack the rest.
    """
    env = {**site.env, "SALAD_MACHINE_ID": machine}
    assert site.run(env=env).code == 0
    (journal,) = site.journals()
    mark = journal.with_suffix(".open")
    assert not mark.exists()
    mark.touch()
    sent = [name for name in site.objects() if journal.stem in name]
    for name in sent:
        place = f"T:{site.server.bucket}/tests/{name}"
        if Path(name).suffix in lost.split():
            run_rclone(["deletefile", place], env=remote_environment(site.server))

    ran = site.run(env=env)

    assert ran.code == 0, ran.err
    assert "results_sent_later" in ran.err
    assert not mark.exists()
    assert [name for name in site.objects() if journal.stem in name] == sent
    assert len(site.journals()) == (1 if machine else 2)


def test_what_another_machine_has_gone_on_with_is_not_written_over(site: _Site) -> None:
    """The bucket has more of a run than this disk, which comes back after a long time."""
    assert site.run().code == 0
    (journal,) = site.journals()
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    journal.with_suffix(".open").touch()

    ran = site.run("--fresh")

    assert ran.code == 0, ran.err
    assert not journal.with_suffix(".open").exists()
    place = next(name for name in site.objects() if name.endswith(journal.name))
    source = f"T:{site.server.bucket}/tests/{place}"
    stored = run_rclone(["cat", source], env=remote_environment(site.server)).stdout
    assert stored.encode() == whole


def test_only_marks_of_runs_count(site: _Site) -> None:
    """What else is called like one is not ours, and stays."""
    home = site.output / site.name / "machine-1"
    run_id = "20260101T000000000Z-abcde"
    (home / f"{run_id}0.open").mkdir(parents=True)
    (home / f"{run_id}1.open").symlink_to(site.spec)
    others = {f"{run_id}0.open", f"{run_id}1.open", "notes.open", f"../{run_id}2.open"}
    (home / "notes.open").touch()
    (home.parent / f"{run_id}2.open").touch()
    (home / f"{run_id}3.open").touch()  # one that was killed before it had a journal

    ran = site.run()

    assert ran.code == 0, ran.err
    assert all((home / name).exists() for name in others)
    assert not (home / f"{run_id}3.open").exists()


def test_a_run_that_goes_on_under_another_machine_is_not_shared(site: _Site) -> None:
    said: list[Ran] = []

    def second() -> bool:
        if not site.has(1)():
            return False
        (journal,) = site.journals()
        site.hold()
        other = {**site.env, "SALAD_MACHINE_ID": "machine-2"}
        said.append(site.run("--resume", journal.stem, env=other))
        return True

    site.killed(second)

    assert said[0].code == 2
    assert "at work on this machine" in said[0].err


@pytest.mark.prove
def test_a_run_at_work_with_another_folder_is_not_taken_up_from_the_bucket(site: _Site) -> None:
    """Two runs of one experiment under one machine's name: the second begins one of its own."""
    said: list[Ran] = []
    other = site.folder / "other"

    def second() -> bool:
        if not site.has(1)() or not any(name.endswith(".jsonl") for name in site.objects()):
            return False
        site.hold()
        said.append(site.run("--output", str(other)))
        return True

    site.killed(second)

    assert said[0].code == 0, said[0].err
    assert "earlier_run_at_work" in said[0].err
    (journal,), (others,) = site.journals(), other.rglob("*.jsonl")
    assert journal.stem != others.stem
    assert len(others.read_text().splitlines()) == 1 + _OPERATIONS


def test_what_was_finished_is_left_alone(site: _Site) -> None:
    assert site.run().code == 0
    ran = site.run()

    assert ran.code == 0
    assert "has done it all in run" in ran.err
    assert len(site.lines()) == 1 + _OPERATIONS


@pytest.mark.prove
@pytest.mark.parametrize("machine", ["machine-1", ""])
def test_a_wiped_disk_is_made_up_for_by_the_bucket(machine: str, site: _Site) -> None:
    """Once the journal there is old enough: before, somebody else may be at work on that run."""
    site.env["SALAD_MACHINE_ID"] = machine
    site.killed(site.has(4))
    copied = site.sent_journals()
    for name in copied:
        site.make_old(name)
    shutil.rmtree(site.output)

    ran = site.run()

    assert ran.code == 0, ran.err
    if copied:
        assert "run_resumed" in ran.err
    _check_all_done(site)


@pytest.mark.prove
def test_a_run_that_only_the_bucket_knows_may_be_at_work_elsewhere(site: _Site) -> None:
    """A second container with the same machine id: neither may send over what the other has."""
    site.killed(lambda: site.has(1)() and bool(site.sent_journals()))
    (first,) = site.sent_journals()
    before = site.stored(first)
    shutil.rmtree(site.output)

    named = site.run("--resume", Path(first).stem)
    ran = site.run()

    assert named.code == 2
    assert "it may be at work on another machine" in named.err
    assert ran.code == 0, ran.err
    assert "earlier_run_at_work" in ran.err
    assert site.stored(first) == before
    (journal,) = site.journals()
    assert journal.stem != Path(first).stem
    assert len(site.results()) == _OPERATIONS


# Every third of a second, where a run has it that nothing is silent for more than one.
_OFTEN = """\
import functools, sys
if "hps" in sys.orig_argv:
    from hps.run import recorder
    recorder.BucketCopy = functools.partial(recorder.BucketCopy, renew_s=1 / 3)
"""


def test_a_run_within_one_long_operation_is_seen_to_be_at_work(site: _Site) -> None:
    """By its journal in the bucket, which is all that another host can see of it."""
    long = site.spec.read_text().replace("steps: [", "steps: [{pause: {duration: 1h}}, ")
    site.spec.write_text(long)
    (site.folder / "sitecustomize.py").write_text(_OFTEN)
    site.env["PYTHONPATH"] = str(site.folder)

    def renewed() -> bool:
        if not site.has(0)() or not site.sent_journals():
            return False
        (name,) = site.sent_journals()
        site.make_old(name)
        deadline_s = time.monotonic() + _PATIENCE_S
        while site.age_s(name) > _PATIENCE_S:
            assert time.monotonic() < deadline_s
        return True

    site.killed(renewed)

    (name,) = site.sent_journals()
    assert site.stored(name) == site.journals()[0].read_text()
    shutil.rmtree(site.output)
    named = site.run("--resume", Path(name).stem)
    assert named.code == 2
    assert "it may be at work on another machine" in named.err


def test_what_another_host_stored_of_the_same_run_is_left_alone(site: _Site) -> None:
    """Both have gone on with one run, each unseen by the other."""
    foreign = b""

    def other_host_has_gone_on() -> bool:
        nonlocal foreign
        if not site.has(1)() or not site.sent_journals():
            return False
        site.hold()
        (first,) = site.sent_journals()
        theirs = site.folder / "theirs"
        foreign = site.stored(first).encode() + b'{"kind":"result","of":"another host"}\n'
        theirs.write_bytes(foreign)
        place = f"T:{site.server.bucket}/tests/{first}"
        run_rclone(["copyto", str(theirs), place], env=remote_environment(site.server))
        return True

    code, said = site.goes_on(other_host_has_gone_on)

    assert code in {0, 1}, said  # 1: the hold may have been long enough to be told as that
    assert "results_of_another_start" in said
    (journal,) = site.journals()
    aside, first = sorted(site.sent_journals(), key=lambda name: name.endswith(journal.name))
    assert site.stored(first).encode() == foreign
    assert site.stored(aside).encode() == journal.read_bytes()
    assert len(site.results()) == _OPERATIONS
    tables = {Path(name).name for name in site.objects()} - {journal.name, Path(aside).name}
    assert tables == {Path(aside).with_suffix(suffix).name for suffix in (".csv", ".txt")}


def test_a_torn_last_line_is_cut_off_and_that_operation_runs_again(site: _Site) -> None:
    site.killed(site.has(3))
    (journal,) = site.journals()
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind":"result","operation_id":"0123')

    ran = site.run()

    assert ran.code == 0, ran.err
    assert journal.read_bytes().startswith(whole)
    _check_all_done(site)


@pytest.mark.prove
def test_another_machine_takes_a_run_up_by_its_id(site: _Site) -> None:
    site.killed(site.has(4))
    (journal,) = site.journals()
    other = {**site.env, "SALAD_MACHINE_ID": "machine-2"}

    ran = site.run("--resume", journal.stem, env=other)

    assert ran.code == 0, ran.err
    assert site.journals() == [journal]
    _check_all_done(site)
    assert {r["machine_id"] for r in site.results()} == {"machine-1", "machine-2"}


@pytest.mark.prove
def test_a_changed_experiment_begins_anew_and_says_why(site: _Site) -> None:
    site.killed(site.has(2))
    site.write(size="7MiB")

    ran = site.run()

    assert ran.code == 0, ran.err
    assert "experiment_changed" in ran.err
    assert len(site.journals()) == 2


def test_fresh_begins_anew(site: _Site) -> None:
    site.killed(site.has(1))
    ran = site.run("--fresh")

    assert ran.code == 0, ran.err
    assert "run_resumed" not in ran.err
    assert len(site.journals()) == 2


@pytest.mark.prove
def test_what_a_run_was_ended_in_is_stored_though_it_never_goes_on(site: _Site) -> None:
    site.killed(_in_an_operation(site))
    (journal,) = site.journals()
    told = json.loads(journal.with_name(".lock").read_text())
    before = journal.read_text()

    ran = site.run("--fresh")

    assert ran.code == 0, ran.err
    (line,) = journal.read_text().removeprefix(before).splitlines()
    record = json.loads(line)
    assert (record["status"], record["operation_id"]) == ("interrupted", told["operation_id"])
    assert record["started_at"] == told["operation_started_at"]
    place = next(name for name in site.objects() if name.endswith(journal.name))
    source = f"T:{site.server.bucket}/tests/{place}"
    assert (
        run_rclone(["cat", source], env=remote_environment(site.server)).stdout
        == before + line + "\n"
    )


def _in_an_operation(site: _Site) -> Callable[[], bool]:
    """True once the run is held within an operation whose result is not stored."""

    def within() -> bool:
        if not site.has(1)():
            return False
        site.hold()
        told = json.loads(site.journals()[0].with_name(".lock").read_text())
        if told["operation_id"] not in {r["operation_id"] for r in site.results()}:
            return True
        os.kill(told["pid"], signal.SIGCONT)
        return False

    return within


@pytest.mark.prove
def test_what_is_to_be_done_again_is_and_the_last_result_counts(site: _Site) -> None:
    assert site.run().code == 0
    (journal,) = site.journals()
    lines = journal.read_text().splitlines(keepends=True)
    failed = json.loads(lines[2]) | {"status": "failed", "reason": "lost", "throughput_mbps": None}
    journal.write_text("".join([*lines[:2], json.dumps(failed) + "\n", *lines[3:]]))

    ran = site.run("--rerun", "failed")

    assert ran.code == 0, ran.err
    again = Counter(record["operation_id"] for record in site.results())
    assert [name for name, count in again.items() if count == 2] == [failed["operation_id"]]
    assert {record["status"] for record in ran.results()} == {"ok"}
    assert len(ran.results()) == _OPERATIONS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--resume", "../../etc"), "is not the id of a run"),
        (("--resume", "20260101T000000000Z-abcdef"), "there is no run 20260101T000000000Z-abcdef"),
        (("--fresh", "--rerun", "all"), "--fresh begins a new run"),
        (("--rerun", "everything"), "Invalid value for '--rerun'"),
    ],
)
def test_wrong_wishes_are_refused(options: tuple[str, ...], said: str, site: _Site) -> None:
    ran = site.run(*options)

    assert ran.code == 2
    assert said in ran.err
    assert site.journals() == []


def test_two_runs_do_not_share_a_folder(site: _Site) -> None:
    said: list[Ran] = []

    def second() -> bool:
        if not site.has(1)():
            return False
        site.hold()
        said.append(site.run())
        return True

    site.killed(second)

    assert said[0].code == 2
    assert "another run works in" in said[0].err
    assert site.journals()[0].stem in said[0].err


@pytest.mark.prove
def test_what_a_run_killed_in_its_probe_left_is_removed_by_the_next(site: _Site) -> None:
    rules = "node: {min_upload: 1Mbps, on_unknown: accept, probe: {target: s3, seconds: 20}}"
    site.spec.write_text(f"{site.spec.read_text()}{rules}\n")
    site.killed(lambda: any("/probe/" in name for name in site.objects()))
    assert [journal.read_text() for journal in site.journals()] == [""]

    ran = site.run("--set", "node.probe.seconds=1")

    assert ran.code == 0, ran.err
    assert {Path(name).suffix for name in site.objects()} == {".jsonl", ".csv", ".txt"}
