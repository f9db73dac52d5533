"""What an earlier run has left, the lock on a folder, and ids that never go back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from hps.errors import HpsError
from hps.model import Measurement, Plan, Status
from hps.plan.expand import expand
from hps.results.journal import Journal, latest
from hps.results.lock import RunLock
from hps.results.record import RunIdentity, new_run_id, result_record, run_record, utc_text
from hps.run import resume
from hps.spec.load import load
from hps.spec.source import SpecText

_SPEC = b"""\
api: hps/v1
name: small
targets: {local: {provider: embedded}}
data: {size: 5MiB}
matrix: {concurrency: [1], chunk_size: [5MiB]}
steps: [upload, download, verify, delete]
"""
_RUN = "20261122T101530123Z-5f3a9c"
_LATER = "20261122T111530123Z-5f3a9c"
_AT = datetime(2026, 11, 22, 10, 15, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return expand(load(SpecText(name="small", content=_SPEC), env={}))


def _write(
    folder: Path, plan: Plan, run_id: str, statuses: Iterable[str], **run: object
) -> resume.EarlierRun | None:
    """A journal with these results, and the newest run then."""
    identity = RunIdentity(
        run_id=run_id,
        machine_id=folder.name,
        experiment=plan.spec.name,
        spec_sha256=plan.spec.sha256,
    )
    verdict = {"verdict": {"accepted": True, "action": "run"}}
    first = run_record(identity, plan, started_at=_AT, facts=verdict) | run
    with Journal(folder / f"{run_id}.jsonl") as journal:
        journal.append(first)
        for operation, status in zip(plan.operations, statuses, strict=False):
            done = Measurement(status=cast("Status", status), started_at=utc_text(_AT))
            journal.append(result_record(identity, operation, done))
    return resume.find_newest(plan, [folder])


def _shown(tasks: Iterable[resume.Task]) -> list[str]:
    """The steps; those in brackets are not recorded."""
    return [
        task.operation.step.kind if task.recorded else f"({task.operation.step.kind})"
        for task in tasks
    ]


@pytest.mark.parametrize(
    ("statuses", "rerun", "left"),
    [
        ([], (), ["upload", "download", "verify", "delete"]),
        (["ok"], (), ["(upload)", "download", "verify", "delete"]),
        (["ok", "ok"], (), ["(upload)", "(download)", "verify", "delete"]),
        (["ok", "ok", "ok"], (), ["(upload)", "delete"]),
        (["ok", "interrupted"], (), ["(upload)", "download", "verify", "delete"]),
        (["ok", "failed", "skipped", "ok"], (), []),
        (["ok", "failed", "skipped", "ok"], ("failed",), ["(upload)", "download", "verify"]),
        (["ok", "ok", "invalid", "ok"], ("invalid",), ["(upload)", "(download)", "verify"]),
        (["ok", "failed"], ("missing",), ["(upload)", "(download)", "verify", "delete"]),
        (["ok"] * 4, ("all",), ["upload", "download", "verify", "delete"]),
    ],
)
def test_what_is_left(
    statuses: list[str], rerun: tuple[str, ...], left: list[str], plan: Plan, tmp_path: Path
) -> None:
    found = _write(tmp_path, plan, _RUN, statuses)

    assert found is not None
    assert _shown(found.remaining_tasks(plan, rerun)) == left


def test_the_newest_run_of_this_plan_counts(plan: Plan, tmp_path: Path) -> None:
    _write(tmp_path, plan, _RUN, ["ok"])
    found = _write(tmp_path, plan, _LATER, [])
    assert found is not None
    assert found.run_id == _LATER

    rejected = {"accepted": False, "action": "exit"}
    found = _write(tmp_path, plan, "20261122T121530123Z-5f3a9c", [], verdict=rejected)
    assert found is not None
    assert found.run_id == _LATER
    assert resume.find_changed(plan, tmp_path) == ""


def test_another_version_of_the_experiment_is_told_while_it_is_unfinished(
    plan: Plan, tmp_path: Path
) -> None:
    assert _write(tmp_path, plan, _RUN, ["ok"], spec_sha256="0" * 64) is None
    assert resume.find_changed(plan, tmp_path) == _RUN
    with pytest.raises(HpsError, match="of another version of small"):
        resume.find_named(_RUN, plan, [tmp_path])

    _write(tmp_path, plan, _LATER, ["ok"] * 4, spec_sha256="0" * 64)
    assert resume.find_changed(plan, tmp_path) == ""


def test_foreign_and_empty_files_are_passed_over(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / f"{_RUN}.jsonl").write_bytes(b"")
    (tmp_path / f"{_LATER}.jsonl").write_bytes(b"[1, 2]\nno json\n")
    assert resume.find_newest(plan, [tmp_path, tmp_path / "missing"]) is None


@pytest.mark.parametrize(
    "forged",
    [{"machine_id": "another"}, {"experiment": "another"}, {"spec_sha256": "0" * 64}],
)
def test_a_journal_that_is_not_of_this_machine_and_plan_counts_for_nothing(
    forged: dict[str, object], plan: Plan, tmp_path: Path
) -> None:
    assert _write(tmp_path, plan, _RUN, ["ok"] * 4) is not None
    (tmp_path / f"{_RUN}.jsonl").unlink()
    assert _write(tmp_path, plan, _RUN, ["ok"] * 4, **forged) is None


@pytest.mark.parametrize(
    "forged",
    [{"cell": {"concurrency": 2}}, {"step": "delete"}, {"step_index": 3}, {"operation_id": "0"}],
)
def test_operations_are_those_of_the_plan(
    forged: dict[str, object], plan: Plan, tmp_path: Path
) -> None:
    _write(tmp_path, plan, _RUN, ["ok"])
    path = tmp_path / f"{_RUN}.jsonl"
    first, result = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(result) | forged)}\n")
    assert resume.find_newest(plan, [tmp_path]) is None


def test_lines_that_are_none_of_ours_are_named_and_the_others_count(
    plan: Plan, tmp_path: Path
) -> None:
    _write(tmp_path, plan, _RUN, ["ok", "ok"])
    path = tmp_path / f"{_RUN}.jsonl"
    first, *results = path.read_text().splitlines()
    path.write_text("\n".join([first, "[1]", *results, '{"kind": "result"}', ""]))
    told: list[tuple[Path, str]] = []

    found = resume.find_newest(plan, [tmp_path], lambda path, why: told.append((path, why)))

    assert found is not None
    assert len(found.ended) == 2
    assert told == [(path, "line 2 is not a JSON object; line 5 lacks run_id")]


@pytest.mark.parametrize("torn", [b"", b"{", b'{"a": "' + b"x" * 200_000])
def test_a_torn_line_is_cut_off_when_a_journal_is_opened_again(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"n": 1}\n' + torn)
    with Journal(path) as journal:
        journal.append({"n": 2})
    assert path.read_bytes() == b'{"n": 1}\n{"n":2}\n'


def test_the_last_result_counts_unless_it_was_interrupted() -> None:
    records = [
        {"kind": "run"},
        {"operation_id": "a", "status": "failed"},
        {"operation_id": "b", "status": "interrupted"},
        {"operation_id": "a", "status": "ok"},
        {"operation_id": "a", "status": "interrupted"},
        {"kind": "resume"},
        {"operation_id": "b", "status": "ok"},
    ]
    kept = [(record.get("operation_id"), record.get("status")) for record in latest(records)]
    assert kept == [(None, None), ("a", "ok"), (None, None), ("b", "ok")]


def test_a_folder_is_locked_and_a_killed_holder_has_told_what_it_did(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        lock.record(run_id=_RUN, operation_id="0123456789ab")
        with pytest.raises(HpsError, match=f"another run works in .*run {_RUN}"):
            RunLock(tmp_path)
        left = lock.path.read_bytes()
    assert not lock.path.exists()

    lock.path.write_bytes(left)  # as a kill leaves it
    with RunLock(tmp_path) as lock:
        assert lock.before["operation_id"] == "0123456789ab"
        lock.record(run_id=_RUN, operation_id="0123456789ab", if_interrupted="x" * 4096)
        left = lock.path.read_bytes()
    lock.path.write_bytes(left)
    with RunLock(tmp_path) as lock:  # what is too much is left out, from its end
        assert set(lock.before) == {"pid", "run_id", "operation_id"}
    lock.path.write_bytes(left[:9])
    with RunLock(tmp_path) as lock:
        assert lock.before == {}


def test_run_ids_go_on_where_the_clock_was_set_back() -> None:
    now = datetime(2026, 11, 22, 10, 15, 30, 123000, tzinfo=UTC)
    first = new_run_id(now)
    second = new_run_id(now - timedelta(days=400), after=first)
    assert second > first
    assert second.startswith("20261122T101530124Z-")
    assert new_run_id(now + timedelta(days=1), after=first).startswith("20261123T")
