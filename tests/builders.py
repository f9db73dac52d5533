"""Experiments, operations and records for tests, with everything that a test does not care for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from hps.model import (
    Axis,
    Data,
    KnobValue,
    Matrix,
    Operation,
    Order,
    ResultsPlace,
    SecretRef,
    Spec,
    Step,
    Target,
    Transfer,
)
from hps.plan.expand import expand
from hps.run_folder import OwnFolder
from hps.tools.base import Job, Running

MIB = 1024**2
LOCAL = Target(name="local", provider="embedded")
S3 = Target(
    name="s3",
    provider="other",
    bucket="bucket",
    folder="tests",
    endpoint="http://127.0.0.1:9",
    force_path_style=True,
    access_key_id=SecretRef(env="TEST_KEY_ID"),
    secret_access_key=SecretRef(env="TEST_SECRET"),
)
_PLAIN = Spec(
    api="hps/v1",
    name="unit",
    description="",
    targets=MappingProxyType({"local": LOCAL}),
    data=Data(size_bytes=20 * MIB),
    matrix=Matrix(),
    steps=(Step(kind="upload"), Step(kind="download"), Step(kind="verify"), Step(kind="delete")),
    results=ResultsPlace(target="local"),
    order=Order(kind="declared"),
)


def axis(knob: str, *values: KnobValue) -> Axis:
    """An axis of one knob."""
    return Axis(knobs=(knob,), rows=tuple((value,) for value in values))


def steps(*kinds: str | Step) -> tuple[Step, ...]:
    """Steps without settings, where only a kind is named."""
    return tuple(kind if isinstance(kind, Step) else Step(kind=kind) for kind in kinds)


def step(kind: str, **settings: KnobValue | float) -> Step:
    """A step with settings in base units."""
    return Step(kind=kind, settings=MappingProxyType(settings))


def make_spec(*axes: Axis, **changes: object) -> Spec:
    """A small experiment on the embedded target with these axes; `changes` are fields of `Spec`."""
    return replace(_PLAIN, **{"matrix": Matrix(axes=axes), **changes})  # type: ignore[arg-type]


def make_operation(kind: str = "upload", **knobs: KnobValue) -> Operation:
    """The operation of this kind that a plan makes for a cell with these knobs.

    Knobs are spelled as in an experiment; sizes are in bytes.
    """
    axes = (axis(name, value) for name, value in knobs.items())
    before = {"download": "upload", "sync_down": "sync_up"}
    kinds = [before[kind], kind] if kind in before else ["upload", kind]
    plan = expand(make_spec(*axes, steps=steps(*dict.fromkeys(kinds))))
    return next(operation for operation in plan.operations if operation.step.kind == kind)


def make_transfer(**changes: object) -> Transfer:
    """10 MiB chunks, 4 of them and 4 files in flight, over HTTP/1.1."""
    plain = Transfer(
        chunk_size_bytes=10 * MIB, concurrency=4, transfers=4, http2=False, checksum=True
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def make_running(folder: Path, *, name: str | None, streams: int = 4) -> Running:
    """A download to `folder`, which has the tool's output and log as well."""
    job = Job(
        movement="download",
        target=S3,
        folder=OwnFolder("data/unit/20261122T101530123Z-5f3a9c/0123456789ab"),
        local=str(folder),
        name=name,
        settings=make_transfer(chunk_size_bytes=5 * MIB, concurrency=streams),
        size_bytes=12 * MIB,
        files=1,
    )
    return Running(job=job, streams=streams, out=folder / "out", log=folder / "log")


def result_line(**changes: object) -> dict[str, object]:
    """A stored result with the keys that summaries and tables read."""
    plain: Mapping[str, object] = {
        "kind": "result",
        "cell": {"concurrency": 4},
        "repetition": 0,
        "warmup": False,
        "step": "upload",
        "step_index": 0,
        "status": "ok",
        "reason": "",
        "duration_s": 2.0,
        "throughput_mbps": 100.0,
        "effective": {"chunk_size_bytes": 5 * MIB, "concurrency": 4},
        "observed": {"peak_in_flight": 3, "connections": 4},
        "retries": 0,
    }
    return {**plain, **changes}


def run_line(**changes: object) -> dict[str, object]:
    """A stored run line with the keys that summaries read."""
    return {"kind": "run", "cells": [], "merged": [], **changes}
