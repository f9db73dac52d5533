"""A fleet from one real run: its lines, as if many machines had stored them at other rates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SPEC = """\
api: hps/v1
name: sweep
targets: {local: {provider: embedded}}
data: {size: 10MiB}
matrix: {chunk_size: [5MiB], concurrency: [1, 2]}
repetitions: 2
steps: [upload, download, delete]
"""
Record = dict[str, Any]
Rates = Mapping[int, float]


def store(
    folder: Path,
    records: Sequence[Record],
    *,
    rates: Rates,
    day: int = 1,
    nodes: int = 16,
    **run: object,
) -> None:
    """Run files of `nodes` machines. `rates` has each concurrency's median rate in Mbps.

    Machines differ by a factor of their own, the same every day; repetitions by a few per cent.
    """
    chance = np.random.default_rng(day)
    factors = np.random.default_rng(0).lognormal(0, 0.4, nodes)
    for number, factor in enumerate(factors):
        identity = {
            "machine_id": f"machine-{number:03}",
            "run_id": f"202611{day:02}T100000000Z-{number:06x}",
        }
        lines = [{**records[0], **identity, **run, "started_at": _at(day, 0)}]
        for at, one in enumerate(records[1:]):
            mbps = float(factor) * rates[one["cell"]["concurrency"]]
            lines.append(_result({**one, **identity}, mbps, day, at, chance))
        path = folder / "sweep" / identity["machine_id"] / f"{identity['run_id']}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _result(line: Record, mbps: float, day: int, at: int, chance: np.random.Generator) -> Record:
    told = {**line, "started_at": _at(day, at)}
    if line["throughput_mbps"] is None:
        return told
    rate = mbps * float(chance.lognormal(0, 0.02))
    duration_s = line["size_bytes"] * 8 / 1e6 / rate
    return {**told, "throughput_mbps": round(rate, 6), "duration_s": round(duration_s, 6)}


def _at(day: int, second: int) -> str:
    return f"2026-11-{day:02}T10:{second // 60:02}:{second % 60:02}.000000Z"
