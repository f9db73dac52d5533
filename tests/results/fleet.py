"""Files of results as a fleet of simulated nodes would have stored them; valid by the schema.

    write_fleet(folder, nodes=200, cells=grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 8]),
                repetitions=3, seed=1, effect=lambda node, cell, step: 1.1)

A node is drawn from its number and the seed alone, so that a larger fleet begins with the smaller
one's nodes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.results.sim_records import failed_run, records, run_record
from tests.results.simulation import (
    CELLS,
    MIB,
    Cell,
    Draw,
    Effect,
    Fate,
    Record,
    SimNode,
    Simulation,
    all_ok,
    draw_node,
    grid,
)

__all__ = [
    "CELLS",
    "MIB",
    "Cell",
    "Draw",
    "Effect",
    "Fate",
    "Record",
    "SimNode",
    "Simulation",
    "all_ok",
    "draw_node",
    "failed_run",
    "grid",
    "records",
    "run_record",
    "write_fleet",
]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def write_fleet(
    folder: Path,
    nodes: int,
    cells: Sequence[Cell] = CELLS,
    repetitions: int = 3,
    seed: int = 0,
    *,
    draw: Draw = draw_node,
    **settings: Any,
) -> list[Path]:
    """A file for each node at `<folder>/<experiment>/<machine_id>/<run_id>.jsonl`.

    `settings` are those of `Simulation`. A node that is not accepted has its run line alone.
    """
    what = Simulation(cells=cells, repetitions=repetitions, **settings).settled()
    return [_write_node(folder, what, seed, number, draw) for number in range(nodes)]


def _write_node(folder: Path, what: Simulation, seed: int, number: int, draw: Draw) -> Path:
    node = draw(random.Random(f"node/{seed}/{number}"), number)
    chance = random.Random(f"run/{seed}/{number}/{what.experiment}/{what.started_at}")
    started_at = what.started_at + timedelta(seconds=chance.uniform(0, 3600))
    run_id = f"{started_at:%Y%m%dT%H%M%S}{started_at.microsecond // 1000:03d}Z"
    run_id += f"-{chance.getrandbits(24):06x}"
    path = folder / what.experiment / node.machine_id / f"{run_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = records(what, node, run_id, started_at, chance)
    text = "".join(f"{_encode(line)}\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
