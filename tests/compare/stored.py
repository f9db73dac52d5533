"""Stored files for these tests: a simulated fleet, its lines read back, changed, or left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from hps.compare import grouping, panels
from hps.compare.comparing import find
from hps.compare.comparison import Comparison, Findings, Panel, PanelCell
from hps.compare.selection import Question, read
from hps.results import tables

Record = dict[str, Any]
Change = Callable[[Record], Record | None]


def lines(folder: Path) -> Iterator[Record]:
    """Every stored line below a folder."""
    for path in sorted(folder.rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def results(folder: Path) -> list[Record]:
    """The result lines."""
    return [line for line in lines(folder) if line["kind"] == "result"]


def rewrite(folder: Path, change: Change) -> None:
    """Change every line; None leaves it out."""
    for path in sorted(folder.rglob("*.jsonl")):
        changed = [change(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        text = "".join(f"{json.dumps(line)}\n" for line in changed if line is not None)
        path.write_text(text, encoding="utf-8")


def write(path: Path, *records: Record) -> None:
    """Store these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")


def panels_of(folder: Path, **asked: Any) -> tuple[Panel, ...]:
    """The panels of a question."""
    with tables.opened([folder]) as opened:
        places = grouping.prepare(opened.connection)
        return panels.select(opened.connection, places, read(Question(**asked))).panels


def findings_of(folder: Path, **asked: Any) -> Findings:
    """What is found."""
    return find([folder], Question(**asked))


def one(found: tuple[Comparison, ...] | tuple[Panel, ...], title: str, stratum: str = "") -> Any:
    """The comparison or panel with this title."""
    (only,) = [each for each in found if (each.title, each.stratum) == (title, stratum)]
    return only


def cell_of(panel: Any, **key: str | int | bool) -> Any:
    """The cell with exactly this key."""
    (only,) = [cell for cell in panel.cells if dict(cell.key) == key]
    return only


def value_of(panel: Panel, cell: PanelCell, unit: str) -> float:
    """What one unit has in a cell."""
    return float(cell.mbps[panel.units.index(unit)])


def medians(folder: Path, step: str, **cell: str | int | bool) -> dict[str, float]:
    """Each node's median of its counted `ok` results, by plain Python."""
    rates: dict[str, list[float]] = {}
    for line in results(folder):
        counts = line["status"] == "ok" and not line["warmup"]
        if counts and line["step"] == step and line["cell"] == cell:
            rates.setdefault(line["machine_id"], []).append(line["throughput_mbps"])
    return {node: median(values) for node, values in rates.items()}
