"""The trial's memory: what has to be taken away, and what a fault of the machine comes to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from hps import earlier, execute
from hps.errors import HpsError, MachineError, MissingProgramError
from hps.model import Measurement, Operation
from hps.plan import expand
from hps.process import Guard
from hps.record import Record, RunIdentity
from hps.steps import Places, StepContext
from hps.targets import Remote
from tests.unit.builders import make_spec, steps

_IDENTITY = RunIdentity(run_id="r", machine_id="m", experiment="e", spec_sha256="0" * 64)
_REMOTE = Remote(name="local", root="b", env={}, secret_env={})


def _run(
    folder: Path, guard: Guard, monkeypatch: pytest.MonkeyPatch, faults: Mapping[str, Exception]
) -> list[Record]:
    """Run upload, download, delete with steps that do nothing, or raise what `faults` says."""

    def perform(operation: Operation, _: StepContext) -> Measurement:
        if operation.step.kind in faults:
            raise faults[operation.step.kind]
        return Measurement(status="ok")

    monkeypatch.setattr(execute, "STEPS", dict.fromkeys(("upload", "download", "delete"), perform))
    plan = expand(make_spec(steps=steps("upload", "download", "delete")))
    target = plan.operations[0].cell.knobs.target
    context = StepContext(
        binary="/bin/false",
        tool_version="1",
        places=Places(
            remotes={target: _REMOTE},
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
    records: list[Record] = []
    hooks = execute.Hooks(store=records.append, started=lambda _: None, event=lambda *_, **__: None)
    execute.run(earlier.tasks(plan.operations), _IDENTITY, context, hooks)
    return records


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


def test_a_bug_is_not_taken_for_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Guard() as guard, pytest.raises(ZeroDivisionError):
        _run(tmp_path, guard, monkeypatch, {"download": ZeroDivisionError()})
