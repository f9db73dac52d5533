"""The stored record: plain dictionaries in the shape that `schemas/result.schema.json` describes.

One run line first, then one line per operation. Fields are only ever added, never renamed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from hps.model import Failure, Knobs, Measurement, Merged, Operation, Plan, Settings, Spec

FORMAT = 1
# A thousand nodes that begin within the same millisecond: two alike in 2 of 1,000,000,000 cases.
_RANDOM_BYTES = 6
Record = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """The fields that every line of a run has."""

    run_id: str
    machine_id: str
    experiment: str
    spec_sha256: str

    @property
    def path(self) -> str:
        """`<experiment>/<machine_id>/<run_id>`, the same on disk and in the bucket."""
        return f"{self.experiment}/{self.machine_id}/{self.run_id}"


def new_run_id(now: datetime, after: str = "") -> str:
    """An id that sorts by time and never repeats: `20261122T101530123Z-5f3a9c04b7d1`.

    It comes after the id `after` even where the clock was set back in between.
    """
    last = after.partition("-")[0]
    if last:
        moment = datetime.strptime(last[:18] + "000", "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        now = max(now, moment + timedelta(milliseconds=1))
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{secrets.token_hex(_RANDOM_BYTES)}"


def utc_text(moment: datetime) -> str:
    """A time as ISO 8601 in UTC, with microseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def run_record(
    identity: RunIdentity, plan: Plan, *, started_at: datetime, facts: Mapping[str, object]
) -> Record:
    """The first line: what the run is, what it runs on, and what it will not measure twice.

    `facts` holds node facts, versions, probe and verdict, as far as they are known.
    """
    spec = plan.spec
    return {
        "kind": "run",
        "format": FORMAT,
        **asdict(identity),
        "started_at": utc_text(started_at),
        "spec": spec.text,
        "spec_source": spec.source,
        "overrides": list(spec.overrides),
        "thresholds": list(spec.thresholds),
        "targets": {name: _target(spec, name) for name in spec.targets},
        "seed": spec.order.seed,
        "operations": len(plan.operations),
        "cells": [dict(cell.axes) for cell in plan.cells],
        "merged": [_merged(entry) for entry in plan.merged],
        **facts,
    }


def failed_record(
    identity: RunIdentity,
    spec: Spec,
    why: Failure,
    *,
    started_at: datetime,
    facts: Mapping[str, object],
) -> Record:
    """The only line of a run that never began, and why. `facts` as for `run_record`."""
    return {
        "kind": "run",
        "format": FORMAT,
        **asdict(identity),
        "status": "failed",
        **reason_fields(why),
        "started_at": utc_text(started_at),
        "source": spec.source,
        **facts,
    }


def resume_record(
    identity: RunIdentity, *, started_at: datetime, remaining: int, facts: Mapping[str, object]
) -> Record:
    """The line where a run that had ended is resumed; with how many operations it has yet to do.

    `facts` as for `run_record`.
    """
    return {
        "kind": "resume",
        **asdict(identity),
        "started_at": utc_text(started_at),
        "operations_left": remaining,
        **facts,
    }


def result_record(identity: RunIdentity, operation: Operation, measurement: Measurement) -> Record:
    """One operation and its measurement; `size_bytes` is 0 where the step moves no payload."""
    knobs = operation.cell.knobs
    moves = operation.requested is not None or "loaded_bytes" in measurement.extra
    size_bytes = knobs.size_bytes * knobs.files if moves else 0
    return {
        "kind": "result",
        **asdict(identity),
        "operation_id": operation.operation_id,
        "trial_id": operation.trial_id,
        "cell": dict(operation.cell.axes),
        "repetition": operation.repetition,
        "warmup": operation.warmup,
        "step": operation.step.kind,
        "step_index": operation.step_index,
        "tool": measurement.tool,
        "tool_version": measurement.tool_version,
        "target": knobs.target,
        "status": measurement.status,
        **reason_fields(measurement.failure),
        "size_bytes": size_bytes,
        "files": knobs.files,
        "started_at": measurement.started_at,
        "duration_s": round(measurement.duration_s, 6),
        **_process_fields(measurement),
        "throughput_mbps": throughput_mbps(size_bytes, measurement) if moves else None,
        "requested": requested_fields(knobs, operation.requested),
        "effective": asdict(measurement.effective) if measurement.effective else None,
        "observed": asdict(measurement.observed),
        "proof": measurement.proof,
        "retries": measurement.retries,
        "command": measurement.command,
        "disturbed": None if measurement.disturbed is None else dict(measurement.disturbed),
        **measurement.extra,
    }


def _process_fields(measurement: Measurement) -> Record:
    """What is known of the tool's process beside its time; each is None where it is not."""
    return {
        "setup_s": _rounded(measurement.setup_s),
        "first_payload_s": _rounded(measurement.first_payload_s),
        "cpu_s": _rounded(measurement.cpu_s),
        "peak_memory_bytes": measurement.peak_memory_bytes,
    }


def reason_fields(why: Failure | None) -> Record:
    """A text for people, a code and an owner for programs; all empty where `why` is None."""
    return {
        "reason": why.reason if why else "",
        "reason_code": why.code if why else "",
        "reason_owner": why.owner if why else "",
    }


def throughput_mbps(size_bytes: int, measurement: Measurement) -> float | None:
    """`size_bytes * 8 / 1e6 / duration_s` where the operation is `ok`, with 7 digits; else None."""
    if measurement.status != "ok" or measurement.duration_s <= 0:
        return None
    return float(f"{size_bytes * 8 / 1e6 / measurement.duration_s:.7g}")


def requested_fields(knobs: Knobs, requested: Settings | None) -> Record:
    """Every knob in base units; what `requested` has comes before the cell's own."""
    return asdict(knobs) | (asdict(requested) if requested is not None else {})


def _target(spec: Spec, name: str) -> Record:
    target = spec.targets[name]
    return {
        "provider": target.provider,
        "endpoint": target.endpoint,
        "account": target.account,
        "region": target.region,
        "bucket": target.bucket,
        "folder": target.folder,
        "quirks": dict(target.quirks),
    }


def _merged(entry: Merged) -> Record:
    return {
        "cell": dict(entry.cell),
        "step": entry.step,
        "step_index": entry.step_index,
        "same_as": dict(entry.same_as),
        "reason": entry.reason,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
