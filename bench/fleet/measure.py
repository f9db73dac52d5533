"""One node: its link is made, and the published experiment runs in it as it would anywhere."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import grid, quiet
from bench.fleet.bucket import Bucket
from bench.fleet.draw import Node
from bench.link import Counters, Link
from bench.node_run import REPOSITORY, RunError
from hps.errors import EXIT_NODE_REJECTED, EXIT_OK, EXIT_OPERATION_FAILED
from hps.results import journal

EXPERIMENT = "salad-r2-benchmark"
SPEC = REPOSITORY / "experiments" / f"{EXPERIMENT}.yaml"
# The published filters.
LEAST_UP_MBPS, LEAST_DOWN_MBPS = 20, 50
OUTCOMES: Mapping[int, str] = {
    EXIT_OK: "ran",
    EXIT_OPERATION_FAILED: "not ok",
    EXIT_NODE_REJECTED: "rejected",
}
_STREAMS = 10
# The start, both ways of the probe, and the clean-up.
_AROUND_S = 16.0
_BASE_TIMEOUT_S = 300.0
_SLOWER = 6.0
_SAID_LINES = 15


def expected_s(node: Node, size_bytes: int) -> float:
    """About how long a node takes."""
    link = node.link
    if link.up_mbps < LEAST_UP_MBPS or link.down_mbps < LEAST_DOWN_MBPS:
        return _AROUND_S
    up_s = grid.expected_s(link, "up", _STREAMS, size_bytes)
    return _AROUND_S + up_s + grid.expected_s(link, "down", _STREAMS, size_bytes)


def measure(node: Node, size_mib: int, bucket: Bucket) -> dict[str, Any]:
    """Run the experiment; its results are in the bucket then, and nowhere else.

    Returns the outcome and whether the link was what it should be, as plain data. Raises
    `RunError` where `hps run` came to no end that it stores, `LinkError` where the link broke or it
    took too long, `NoLinkError` where none can be made.
    """
    bucket.forget(EXPERIMENT, node.machine_id)
    started_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="hps-fleet-") as name,
        Link(node.link) as link,
        bucket.outside(link) as env,
    ):
        scratch = Path(name)
        with quiet.watching(link.counters) as watch:
            code = _run(node, size_mib, link, env, scratch)
            watch.look()
        stored = bucket.journals(EXPERIMENT, node.machine_id)
        if code not in OUTCOMES or not stored:
            raise RunError(code, _said(scratch))
        health = _health(link.settle()) | {"void": _void(stored[-1], watch)}
    took_s = round(time.monotonic() - started_s, 1)
    return {"machine_id": node.machine_id, "outcome": OUTCOMES[code], "took_s": took_s, **health}


def _void(path: Path, watch: quiet.Watch) -> str:
    """Why a transfer that the node stored says nothing of its link; empty where all do."""
    moved = [
        record
        for record in journal.latest(journal.read(path).records)
        if record["kind"] == "result" and record["step"] in {"upload", "download"}
    ]
    judged = [quiet.judge({**record, "why": ""}, watch) for record in moved]
    return next((one["why"] for one in judged if one["void"]), "")


def _run(node: Node, size_mib: int, link: Link, env: Mapping[str, str], scratch: Path) -> int:
    command = [sys.executable, "-m", "hps", "run", str(SPEC), "--fresh", "--log", "json"]
    with (scratch / "answer").open("wb") as out, (scratch / "events").open("wb") as err:
        return link.run(
            [*command, "--output", str(scratch / "results")],
            env={**env, **_node_env(node, size_mib), "TMPDIR": str(scratch)},
            timeout_s=_BASE_TIMEOUT_S + _SLOWER * expected_s(node, size_mib * grid.MIB),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )


def _node_env(node: Node, size_mib: int) -> dict[str, str]:
    """What the published container is given. Without a group there is no metadata service."""
    return {
        "PYTHONPATH": str(REPOSITORY),
        "SALAD_MACHINE_ID": node.machine_id,
        "SALAD_CONTAINER_GROUP_ID": "",
        "SIZE": str(size_mib),
        "ULSPEED": str(LEAST_UP_MBPS),
        "DLSPEED": str(LEAST_DOWN_MBPS),
    }


def _said(scratch: Path) -> str:
    lines = (scratch / "events").read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_SAID_LINES:])


def _health(counters: Counters) -> dict[str, Any]:
    ways = (counters.up, counters.down)
    return {
        "kernel_drops": sum(way.kernel_drops for way in ways),
        "most_late_s": max(way.most_late_s for way in ways),
    }
