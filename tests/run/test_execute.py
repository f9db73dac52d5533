"""The trial's memory: what has to be taken away, and what a fault of the machine comes to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from hps.catalog.failures import failure
from hps.errors import GuardError, HpsError, MachineError, MissingProgramError
from hps.model import Measurement, Operation, Spec, Status, Target
from hps.plan.expand import expand
from hps.process.process import Guard
from hps.results.record import Record, RunIdentity
from hps.run import execute, resume
from hps.steps import Places, StepContext
from hps.tools.base import Installed, Proof
from tests.builders import make_spec, steps
from tests.disks import Mount

_IDENTITY = RunIdentity(run_id="r", machine_id="m", experiment="e", spec_sha256="0" * 64)


def _run(
    folder: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch, faults: Mapping[str, Exception]
) -> list[Record]:
    """Run upload, download, delete with steps that do nothing, or raise what `faults` says."""

    def perform(operation: Operation, _: StepContext) -> Measurement:
        if operation.step.kind in faults:
            raise faults[operation.step.kind]
        return Measurement(status="ok")

    return _perform(folder, guard, monkeypatch, perform)


def _perform(
    folder: Path,
    guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
    perform: Callable[[Operation, StepContext], Measurement],
    *,
    repetitions: int = 1,
    most_equal_failures: int = 3,
) -> list[Record]:
    """The records of a run of upload, download, delete, each done by `perform`."""
    spec = make_spec(steps=steps("upload", "download", "delete"), repetitions=repetitions)
    monkeypatch.setattr(execute, "STEPS", dict.fromkeys(("upload", "download", "delete"), perform))
    records, _ = _sweep(folder, guard, spec, most_equal_failures=most_equal_failures)
    return records


def _sweep(
    folder: Path,
    guard: Guard,
    spec: Spec,
    *,
    binary: str = "/bin/false",
    most_equal_failures: int = 3,
) -> tuple[list[Record], execute.Tally]:
    """The records of a run, and its tally; `binary` is what removes in place of rclone."""
    plan = expand(spec)
    target = spec.targets[plan.operations[0].cell.knobs.target]
    context = _context(folder, guard, target, binary)
    records: list[Record] = []
    hooks = execute.Hooks(
        store=records.append,
        started=lambda _: None,
        event=lambda *_, **__: None,
        most_equal_failures=most_equal_failures,
    )
    tally = execute.run(resume.list_tasks(plan.operations), _IDENTITY, context, hooks)
    return records, tally


def _context(folder: Path, guard: Guard, target: Target, binary: str) -> StepContext:
    return StepContext(
        binary=binary,
        tools={"rclone": Installed(program=binary, version="1")},
        proofs={"rclone": Proof()},
        places=Places(
            targets={target.name: target},
            data_folder="data/unit/20261122T101530123Z-5f3a9c",
            payload_root=str(folder),
            local_root=str(folder),
        ),
        secrets={},
        offers_http2={},
        payloads=MappingProxyType({}),
        scratch=folder,
        guard=guard,
        stop=threading.Event(),
    )


@pytest.mark.parametrize(
    ("fault", "reason", "code", "owner"),
    [
        (
            OSError(28, "No space left on device", "/x/y"),
            *("No space left on device: /x/y", "disk_full", "node"),
        ),
        (OSError(5, "Input/output error"), "Input/output error: {scratch}", "disk_error", "node"),
        (
            MachineError("the guard is gone", "start again"),
            *("the guard is gone (start again)", "disk_error", "node"),
        ),
        (
            MissingProgramError("no rclone here", "get one"),
            *("no rclone here (get one)", "tool_missing", "tool"),
        ),
        (GuardError("the guard is gone"), *("the guard is gone", "stopped", "hps")),
        (
            HpsError("no secret is set", "set it"),
            *("no secret is set (set it)", "bad_experiment", "experiment"),
        ),
    ],
)
def test_a_fault_of_the_machine_is_a_failed_result_and_the_run_goes_on(
    fault: Exception,
    reason: str,
    code: str,
    owner: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Guard() as guard:
        records = _run(tmp_path, guard, monkeypatch, {"download": fault})

    assert [(r["step"], r["status"]) for r in records[:3]] == [
        ("upload", "ok"),
        ("download", "failed"),
        ("delete", "ok"),
    ]
    why = tuple(records[1][f"reason{part}"] for part in ("", "_code", "_owner"))
    assert why == (reason.format(scratch=tmp_path), code, owner)


@pytest.mark.parametrize(
    ("codes", "most", "tried"),
    [
        (("expired_credentials",), 3, 3),
        (("expired_credentials",), 1, 1),
        (("expired_credentials",), 0, 6),
        # Of two mistakes in turn, and of what is the server's fault, nobody knows what comes next.
        (("expired_credentials", "no_permission"), 3, 6),
        (("server_error",), 3, 6),
        # What a server refuses of one cell, others may do.
        (("bad_request",), 3, 6),
        (("not_implemented",), 3, 6),
        (("expired_credentials", "expired_credentials", "server_error"), 3, 6),
    ],
)
def test_after_equal_mistakes_in_a_row_the_rest_is_left(
    codes: tuple[str, ...],
    most: int,
    tried: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = itertools.cycle(failure(code, "no") for code in codes)

    def perform(_: Operation, __: StepContext) -> Measurement:
        return Measurement(status="failed", failure=next(failures), command="rclone")

    with Guard() as guard:
        records = _perform(
            *(tmp_path, guard, monkeypatch, perform), repetitions=6, most_equal_failures=most
        )

    uploads = [record for record in records if record["step"] == "upload"]
    assert [r["status"] for r in uploads] == ["failed"] * tried + ["skipped"] * (6 - tried)
    for left in uploads[tried:]:
        assert (left["reason_code"], left["reason_owner"]) == (codes[0], "experiment")
        assert str(left["reason"]).startswith(f"not tried: {most} operations in a row failed alike")


def test_a_bug_is_not_taken_for_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Guard() as guard, pytest.raises(ZeroDivisionError):
        _run(tmp_path, guard, monkeypatch, {"download": ZeroDivisionError()})


@pytest.mark.parametrize(
    ("first", "has_leftovers"),
    [("ok", False), ("failed", True), ("timeout", True), ("interrupted", True)],
)
def test_what_an_upload_that_broke_off_left_is_looked_for_again_at_the_end(
    first: Status, has_leftovers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trial removed all that was there; what a server was told late it may do after that."""
    ends: Iterator[Status] = itertools.chain([first], itertools.repeat("ok"))
    _, tally = _swept(tmp_path, monkeypatch, ("upload", "delete"), ends, repetitions=2)

    assert tally.has_leftovers is has_leftovers


def test_a_later_upload_that_was_deleted_does_not_stand_for_one_that_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: Iterator[Status] = iter(["timeout", "ok", "ok"])
    records, tally = _swept(tmp_path, monkeypatch, ("upload", "upload", "delete"), ends)

    assert [record["status"] for record in records] == ["timeout", "ok", "ok"]
    assert tally.has_leftovers


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("failed", "its upload failed"),
        ("timeout", "its upload took too long"),
        ("interrupted", "its upload was interrupted"),
    ],
)
def test_steps_are_skipped_where_the_one_that_they_build_on_was_not_done(
    ended: Status, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: Iterator[Status] = itertools.chain([ended], itertools.repeat("ok"))
    records, _ = _swept(tmp_path, monkeypatch, ("upload", "download", "verify"), ends)

    assert [record["status"] for record in records] == [ended, "skipped", "skipped"]
    assert records[1]["reason"] == said
    assert records[2]["reason"] == "its download was skipped"


@pytest.mark.parametrize(
    ("ended", "code"),
    [("failed", "disk_full"), ("invalid", "disk_full"), ("timeout", "disk_full"), ("ok", "")],
)
def test_on_a_full_disk_what_ended_badly_is_the_disks_fault(
    ended: Status, code: str, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mount("full", "size=64k")
    (disk / "rest").write_bytes(bytes(32 * 1024))
    records, _ = _swept(disk, monkeypatch, ("upload",), iter([ended]))

    assert (records[0]["status"], records[0]["reason_code"]) == (ended, code)


def _swept(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: tuple[str, ...],
    ends: Iterator[Status],
    *,
    repetitions: int = 1,
) -> tuple[list[Record], execute.Tally]:
    """A sweep whose steps end as told, one after the other; all that is removed is gone at once."""

    def perform(_: Operation, __: StepContext) -> Measurement:
        status = next(ends)
        why = None if status == "ok" else failure("timeout", "it stood still")
        return Measurement(status=status, failure=why)

    monkeypatch.setattr(execute, "STEPS", dict.fromkeys(kinds, perform))
    removes_all = folder.parent / "rclone"
    removes_all.write_text("#!/bin/sh\necho '{}'\n")
    removes_all.chmod(0o755)
    spec = make_spec(steps=steps(*kinds), repetitions=repetitions)
    with Guard() as guard:
        return _sweep(folder, guard, spec, binary=str(removes_all))
