"""Panels for the pure part of comparing, from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from hps.compare.comparison import Floats, Key, Panel, PanelCell, Unit

SHARED: Key = {
    "step": "download",
    "size": "200MiB",
    "files": 1,
    "transfers": 4,
    "chunk_size": "10MiB",
    "concurrency": 4,
}


def make_cell(key: Key, mbps: Sequence[float] | Floats, **fields: Any) -> PanelCell:
    """A cell in which every unit has three results; NaN: a unit without any."""
    values = np.asarray(mbps, dtype=np.float64)
    n = np.where(np.isnan(values), 0, 3)
    plain: dict[str, Any] = {
        "key": key,
        "mbps": values,
        "duration_s": 1677.7 / values,
        "repetitions": n,
        "spread": 0.1,
        "statuses": {"ok": int(n.sum())},
        "requests_class_b": 22.0,
        "size_bytes": 200 * 1024**2,
    }
    return PanelCell(**{**plain, **fields})


def make_panel(cells: Sequence[PanelCell], **fields: Any) -> Panel:
    """A download of 200 MiB; what cells are named by is left out of what they share."""
    unit: Unit = fields.pop("unit", "node")
    shared = {name: value for name, value in SHARED.items() if name not in cells[0].key}
    plain: dict[str, Any] = {
        "title": "download",
        "shared": shared,
        "step": "download",
        "direction": "down",
        "unit": unit,
        "units": tuple(f"n{number}" for number in range(len(cells[0].mbps))),
        "cells": tuple(cells),
        "provider": "cloudflare",
    }
    return Panel(**{**plain, **fields})


def draw_panel(
    chance: Generator,
    nodes: int,
    effects: Mapping[int, float],
    *,
    repetitions: int = 3,
    within: float = 0.1,
    between: float = 0.05,
) -> Panel:
    """A fleet whose cells, named by concurrency, are `effects` times as fast as a node's link.

    `between` is the spread of a node's own liking for a cell, `within` that of its results; both
    are standard deviations of logarithms.
    """
    link = chance.lognormal(5, 0.5, nodes)
    cells = []
    for concurrency, effect in effects.items():
        liking = chance.lognormal(0, between, nodes)
        draws = chance.lognormal(0, within, (nodes, repetitions))
        mbps = np.median(link[:, None] * effect * liking[:, None] * draws, axis=1)
        n = np.full(nodes, repetitions)
        fields = {"repetitions": n, "spread": within, "statuses": {"ok": int(n.sum())}}
        cells.append(make_cell({"concurrency": concurrency}, mbps, **fields))
    return make_panel(cells)
