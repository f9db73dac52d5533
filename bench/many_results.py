"""Files as a large fleet would have stored them: real lines with drawn rates, written quickly.

16 cells, 2 steps, 3 repetitions: 96 results a node. A line is a template that is filled in, since
making each from dictionaries would take longer than all that is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

MIB = 1024**2
CHUNK_SIZES_MIB = (5, 10, 25, 64)
CONCURRENCIES = (1, 4, 8, 16)
STEPS = ("upload", "download")
REPETITIONS = 3
RESULTS_A_NODE = len(CHUNK_SIZES_MIB) * len(CONCURRENCIES) * len(STEPS) * REPETITIONS
FILE_BYTES = 200 * MIB
_SHA256 = "5c" * 32
_START = datetime(2026, 1, 5, 9, tzinfo=UTC)
_COUNTRIES = ("de", "us", "br", "jp", "fi", "in")
_GPUS = ("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3060")


def write(folder: Path, results: int, seed: int = 0) -> int:
    """Write at least that many results below `folder`; returns how many nodes they come from."""
    chance = np.random.default_rng(seed)
    nodes = -(-results // RESULTS_A_NODE)
    cells = [(chunk, streams) for chunk in CHUNK_SIZES_MIB for streams in CONCURRENCIES]
    templates = [_template(chunk, streams, step) for chunk, streams in cells for step in STEPS]
    gains = np.array([_gain(streams) for _, streams in cells for _ in STEPS])
    for number in range(nodes):
        _write_node(folder / "scale", number, templates, gains, chance)
    return nodes


def _gain(streams: int) -> float:
    """What streams do for the rate: 8 are enough, and chunks don't matter."""
    return min(1.0, 0.4 + 0.075 * streams)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A node of the fleet, and its only run."""

    number: int
    link_mbps: float

    @property
    def machine_id(self) -> str:
        return f"{self.number:08x}-sim"

    @property
    def started_at(self) -> datetime:
        return _START + timedelta(seconds=7 * self.number)

    @property
    def run_id(self) -> str:
        return f"{self.started_at:%Y%m%dT%H%M%S}000Z-{self.number:06x}"


def _write_node(
    folder: Path, number: int, templates: list[str], gains: np.ndarray, chance: np.random.Generator
) -> None:
    node = _Node(number=number, link_mbps=float(chance.lognormal(5.4, 0.5)))
    noise = chance.lognormal(0, 0.1, (REPETITIONS, len(templates)))
    mbps = node.link_mbps * gains * noise
    ok = chance.random(mbps.shape) > 0.01
    lines = [_run_line(node, chance), *_result_lines(node, templates, mbps, ok)]
    path = folder / node.machine_id / f"{node.run_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


def _result_lines(
    node: _Node, templates: list[str], mbps: np.ndarray, ok: np.ndarray
) -> Iterator[str]:
    """Fill in the templates once for each repetition, a row of `mbps` and of `ok`."""
    run_id, machine_id, began_at = node.run_id, node.machine_id, node.started_at
    clock_s = 0.0
    for repetition in range(REPETITIONS):
        for place, template in enumerate(templates):
            duration_s = FILE_BYTES * 8 / 1e6 / mbps[repetition, place]
            done = bool(ok[repetition, place])
            started_at = began_at + timedelta(seconds=clock_s)
            yield template % (
                run_id,
                machine_id,
                f"{node.number:06x}{repetition:02x}{place:04x}",
                repetition,
                "ok" if done else "failed",
                "" if done else "rclone exit code 5 (temporary error): 503",
                started_at.isoformat(timespec="microseconds")[:26],
                duration_s,
                f"{mbps[repetition, place]:.7g}" if done else "null",
            )
            clock_s += duration_s


def _run_line(node: _Node, chance: np.random.Generator) -> str:
    target = {"provider": "cloudflare", "endpoint": "https://example.com", "region": "auto"}
    record = {
        "kind": "run",
        "format": 1,
        "run_id": node.run_id,
        "machine_id": node.machine_id,
        "experiment": "scale",
        "spec_sha256": _SHA256,
        "started_at": f"{node.started_at:%Y-%m-%dT%H:%M:%S}.000000Z",
        "spec": "name: scale\n",
        "spec_source": "experiments/scale.yaml",
        "overrides": [],
        "targets": {"r2": {**target, "bucket": "transcripts", "folder": "sim"}},
        "seed": 0,
        "operations": RESULTS_A_NODE,
        "cells": [],
        "merged": [],
        "hps": "0.1.0",
        "node": {
            "country": str(chance.choice(_COUNTRIES)),
            "rclone_version": "1.75.2",
            "gpu": {"gpus": [{"name": str(chance.choice(_GPUS)), "memory_bytes": 24 * 1024**3}]},
        },
        "probe": {
            "rtt": {"median_s": float(chance.lognormal(-2.6, 0.6))},
            "upload_mbps": {"value": node.link_mbps / 2},
            "download_mbps": {"value": node.link_mbps},
        },
        "verdict": {"accepted": True, "action": "run", "reasons": [], "checks": []},
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def _template(chunk_mib: int, streams: int, step: str) -> str:
    """A result line with nine places to fill in."""
    applied = {
        "chunk_size_bytes": chunk_mib * MIB,
        "concurrency": streams,
        "transfers": 4,
        "http2": False,
        "checksum": True,
    }
    payload = {"target": "r2", "size_bytes": FILE_BYTES, "tool": "rclone", "files": 1}
    tail = {
        "effective": {**applied, "transfers": 1},
        "requested": {**payload, "content": "random", "layout": "flat", **applied},
        "observed": {"chunks": -(-200 // chunk_mib), "peak_in_flight": streams},
        "retries": 0,
        "command": f"rclone copyto payload r2:transcripts/sim {'--flag=value ' * 40}",
    }
    return (
        '{"kind":"result","run_id":"%s","machine_id":"%s",'
        f'"experiment":"scale","spec_sha256":"{_SHA256}",'
        '"operation_id":"%s",'
        f'"trial_id":"{"0" * 12}","cell":{{"chunk_size":"{chunk_mib}MiB","concurrency":{streams}}},'
        '"repetition":%d,"warmup":false,'
        f'"step":"{step}","step_index":{STEPS.index(step)},"tool":"rclone",'
        '"tool_version":"1.75.2","target":"r2","status":"%s","reason":"%s",'
        f'"size_bytes":{FILE_BYTES},"files":1,'
        '"started_at":"%sZ","duration_s":%.6f,"setup_s":0.09,"throughput_mbps":%s,'
        f"{json.dumps(tail, separators=(',', ':'))[1:]}\n"
    )
