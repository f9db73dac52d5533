"""The lines that a simulated node stores, valid by the schema."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hps.catalog.failures import KINDS
from hps.units import parse_size_bytes
from tests.results.simulation import MIB, Cell, Record, SimNode, Simulation

# The reason of each status, and its code.
_REASONS = {
    "failed": ("rclone ended with exit code 5: the endpoint answered 503", "server_error"),
    "invalid": ("concurrency: 4 requested, 1 applied", "not_as_declared"),
    "timeout": ("took longer than 300 s", "timeout"),
    "skipped": ("the upload that it builds on was not done", "server_error"),
    "interrupted": ("the run was stopped", "stopped"),
}
_OF_RUN = ("run_id", "machine_id", "experiment", "spec_sha256")
_OF_OPERATION = ("cell", "repetition", "warmup", "step", "step_index")
_APPLIED = ("chunk_size_bytes", "concurrency", "transfers", "http2", "checksum")


def records(
    what: Simulation, node: SimNode, run_id: str, started_at: datetime, chance: random.Random
) -> Iterator[Record]:
    """The lines of one run: the run line, then each operation in random blocks."""
    identity: Record = {
        "run_id": run_id,
        "machine_id": node.machine_id,
        "experiment": what.experiment,
        "spec_sha256": what.spec_sha256,
    }
    yield run_record(what, node, identity, started_at)
    if not node.accepted:
        return
    now = started_at + timedelta(seconds=2)
    for warmup, count in ((True, what.warmup), (False, what.repetitions)):
        for repetition in range(count):
            for cell in chance.sample(list(what.cells), len(what.cells)):
                for index, step in enumerate(what.steps):
                    trial = {"cell": dict(cell), "repetition": repetition, "warmup": warmup}
                    operation = {**identity, **trial, "step": step, "step_index": index}
                    result = _result(what, node, operation, now, chance)
                    now += timedelta(seconds=result["duration_s"] + 0.05)
                    yield result


def run_record(what: Simulation, node: SimNode, identity: Record, started_at: datetime) -> Record:
    """The first line of a run."""
    operations = len(what.cells) * len(what.steps) * (what.repetitions + what.warmup)
    target = {"provider": what.provider, "endpoint": "https://example.com", "region": "auto"}
    return {
        "kind": "run",
        "format": 1,
        **identity,
        "started_at": _utc(started_at),
        "spec": f"name: {what.experiment}\n",
        "spec_source": what.spec_source,
        "overrides": [],
        "thresholds": [],
        "targets": {"r2": {**target, "bucket": "transcripts", "folder": "sim"}},
        "seed": 0,
        "operations": operations,
        "cells": [dict(cell) for cell in what.cells],
        "merged": [],
        "hps": "0.1.0",
        "node": _facts(node),
        "probe": _probe(node),
        "verdict": _verdict(node),
        **what.run_fields,
    }


def failed_run(run: Record, code: str, reason: str, **changes: object) -> Record:
    """The line of a run that did not begin, on the node of another; `code` empty: an older one."""
    kept = ("kind", "format", "machine_id", "experiment", "spec_sha256", "started_at", "hps")
    codes = {"reason_code": code, "reason_owner": KINDS[code].owner} if code else {}
    return {
        **{name: run[name] for name in (*kept, "node")},
        "run_id": "20260105T101530123Z-5f3a9c04b7d1",
        "source": "r2:a.yaml",
        "status": "failed",
        "reason": reason,
        **codes,
        **changes,
    }


def _facts(node: SimNode) -> Record:
    gpus = [{"name": node.gpu, "memory_bytes": 24 * 1024**3, "compute_capability": "8.9"}]
    return {
        "machine_id": node.machine_id,
        "country": node.country,
        "system": "Linux",
        "kernel": "6.8.0-45-generic",
        "architecture": "x86_64",
        "cpu_count": 8,
        "memory_bytes": 16 * 1024**3,
        "tcp": {"congestion_control": "cubic"},
        "python_version": "3.12.4",
        "rclone_version": "1.75.2",
        "gpu": {"gpus": gpus if node.gpu else [], "looked": True, "reason": ""},
        "environment": {},
        "missing": {} if node.country else {"country": "HPS_COUNTRY is not set"},
    }


def _probe(node: SimNode) -> Record:
    rtt: Record = {
        "median_s": node.rtt_s,
        "jitter_s": None,
        "samples_s": [],
        "failures": 0,
        "address": None,
        "reason": "" if node.rtt_s is not None else "it did not answer",
    }
    return {
        "method": "target",
        "target": "r2",
        "connections": 8,
        "proxied": node.proxied,
        "proxy": "proxy.example:3128" if node.proxied else None,
        "upload_mbps": {"value": node.upload_mbps, "reason": ""},
        "download_mbps": {"value": node.download_mbps, "reason": ""},
        "upload_points": [],
        "download_points": [],
        "rtt": rtt,
        "rtt_hosts": {},
    }


def _verdict(node: SimNode) -> Record:
    bound = 20.0 if node.accepted else 2 * node.upload_mbps
    reason = "" if node.accepted else f"upload {node.upload_mbps:.1f} Mbps, required {bound:.1f}"
    check = {
        "name": "min_upload",
        "value": node.upload_mbps,
        "bound": bound,
        "unit": "Mbps",
        "outcome": "pass" if node.accepted else "fail",
        "reason": reason,
    }
    return {
        "accepted": node.accepted,
        "action": "run" if node.accepted else "reallocate",
        "reasons": [reason] if reason else [],
        "checks": [check],
    }


def _result(
    what: Simulation, node: SimNode, operation: Record, now: datetime, chance: random.Random
) -> Record:
    cell, step = operation["cell"], operation["step"]
    status = what.fate(chance, node, cell, step)
    link_mbps = node.upload_mbps if step == "upload" else node.download_mbps
    mbps = link_mbps * what.effect(node, cell, step) * chance.lognormvariate(0, what.spread)
    requested = _requested(what, cell)
    size_bytes = requested["size_bytes"] * requested["files"]
    trial_id = _id(what.spec_sha256, cell, operation["repetition"], operation["warmup"])
    return {
        "kind": "result",
        **{name: operation[name] for name in _OF_RUN},
        "operation_id": _id(trial_id, operation["step_index"]),
        "trial_id": trial_id,
        **{name: operation[name] for name in _OF_OPERATION},
        "tool": requested["tool"],
        "tool_version": what.tool_version,
        "target": requested["target"],
        "status": status,
        **_failure(status),
        "size_bytes": size_bytes,
        "files": requested["files"],
        "started_at": _utc(now),
        "duration_s": round(size_bytes * 8 / 1e6 / mbps, 6),
        "setup_s": 0.08,
        "throughput_mbps": float(f"{mbps:.7g}") if status == "ok" else None,
        "requested": requested,
        "effective": {name: requested[name] for name in _APPLIED},
        "observed": _observed(requested, size_bytes),
        "retries": 0,
        "command": f'RCLONE_CONFIG_R2_SECRET_ACCESS_KEY="$KEY" rclone copyto r2:sim/{trial_id} …',
    }


def _failure(status: str) -> Record:
    reason, code = _REASONS.get(status, ("", ""))
    owner = KINDS[code].owner if code else ""
    return {"reason": reason, "reason_code": code, "reason_owner": owner}


def _observed(requested: Record, size_bytes: int) -> Record:
    chunks = max(1, -(-requested["size_bytes"] // requested["chunk_size_bytes"]))
    return {
        "chunks": chunks,
        "chunk_size_bytes": requested["chunk_size_bytes"],
        "peak_in_flight": min(chunks, requested["concurrency"]),
        "connections": min(chunks, requested["concurrency"]),
        "connection_samples": 10,
        "bytes": size_bytes,
    }


def _requested(what: Simulation, cell: Cell) -> Record:
    sizes = {"size": "size_bytes", "chunk_size": "chunk_size_bytes"}
    values = {
        sizes.get(name, name): parse_size_bytes(str(value)) if name in sizes else value
        for name, value in cell.items()
    }
    return {
        "target": "r2",
        "size_bytes": what.size_bytes,
        "tool": "rclone",
        "files": 1,
        "content": what.content,
        "layout": "flat",
        "chunk_size_bytes": 10 * MIB,
        "concurrency": 4,
        "transfers": 4,
        "http2": False,
        "checksum": True,
        **what.requested,
        **values,
    }


def _id(*parts: object) -> str:
    return hashlib.md5(repr(parts).encode()).hexdigest()[:12]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
