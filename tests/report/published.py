"""The published benchmark's figures, as data: bins, means and trend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hps.compare.comparison import FleetNode, Floats

DATA: Mapping[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "published-2024.json").read_text(encoding="utf-8")
)


def centres(name: str) -> Floats:
    """One value for each node, in the middle of its bin."""
    counts = DATA[name]["counts"]
    middles = (np.arange(len(counts)) + 0.5) * DATA["bin_width"]
    return np.repeat(middles, counts)


def nodes() -> list[FleetNode]:
    """The 224 nodes; which round trip goes with which rate was not published."""
    columns = (centres("rtt_ms"), centres("upload_mbps"), centres("download_mbps"))
    return [
        FleetNode(
            machine_id=f"node-{place:03d}",
            rtt_s=float(rtt_ms) / 1000,
            upload_mbps=float(upload),
            download_mbps=float(download),
            country=None,
            gpu=None,
            accepted=True,
        )
        for place, (rtt_ms, upload, download) in enumerate(zip(*columns, strict=True))
    ]
