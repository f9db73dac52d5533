"""One case: the link is made, `hps run` runs in its node, and what was seen is put beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import grid, quiet
from bench.link import Counters, Link
from bench.link.settings import Way
from bench.node_run import Ran, Record, run_hps
from bench.truth import cases, outside
from bench.truth.seen import see, see_probe
from bench.truth.watch import Watch

_BASE_TIMEOUT_S = 240.0
_SLOWER = 6.0
# What moves bytes: the operations, and the probe.
_VERBS = frozenset({"copyto", "copy", "hashsum"})


def measure(case: cases.Case) -> Mapping[str, Any]:
    """Run a case; returns plain data: `reported` and `seen` for each transfer, `probe`, and more.

    Raises `HpsError` where the link, the server or `hps` can't be started.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hps-truth-") as name,
        Link(case.link) as link,
        outside.serve(link) as served,
    ):
        scratch = Path(name)
        spec = scratch / "truth.yaml"
        spec.write_text(cases.spec_text(case, served.endpoint), encoding="utf-8")
        with quiet.watching(link.counters) as busy, Watch(link, _VERBS) as watch:
            ran = run_hps(
                link,
                spec,
                output=scratch / "results",
                env={**served.env, "TMPDIR": name},
                scratch=scratch,
                timeout_s=_BASE_TIMEOUT_S + _SLOWER * case.expected_s,
            )
            busy.look()
        if watch.failure is not None:
            raise watch.failure
        return _put_together(case, ran, watch, served) | _void(ran, busy) | _health(link.settle())


def _put_together(
    case: cases.Case, ran: Ran, watch: Watch, served: outside.Outside
) -> dict[str, Any]:
    requests = served.proxy.requests()
    found = []
    for record in ran.moved():
        seen = see(
            record["trial_id"],
            _way(record),
            requests=requests,
            looks=watch.looks,
            lives=watch.lives,
            one_way_s=case.link.rtt_s / 2,
        )
        found.append({"reported": record, "seen": None if seen is None else asdict(seen)})
    return {
        "case": case.key,
        "name": case.name,
        "limits_mbps": {way: grid.payload_mbps(case.link, way) for way in ("up", "down")},
        "others": _others(ran),
        "operations": found,
        "probe": _probe(ran.run["probe"], watch) if case.probe else None,
    }


def _probe(reported: Record, watch: Watch) -> dict[str, Any]:
    points: dict[Way, Any] = {
        "up": reported["upload_points"],
        "down": reported["download_points"],
    }
    carried = {
        way: see_probe(points[way], way, looks=watch.looks, lives=watch.lives) for way in points
    }
    return {"reported": reported, "carried_mbps": carried}


def _void(ran: Ran, busy: quiet.Watch) -> dict[str, Any]:
    """A line for each transfer during which this machine had too little to spare."""
    judged = [quiet.judge({**record, "why": ""}, busy) for record in ran.moved()]
    return {
        "void": [f"{one['step']}: {one['why']}" for one in judged if one["void"]],
        "least_idle_cores": min((one["idle_cores"] for one in judged), default=None),
    }


def _health(counters: Counters) -> dict[str, Any]:
    """Whether the link was what it should be."""
    ways = (counters.up, counters.down)
    return {
        "kernel_drops": sum(way.kernel_drops for way in ways),
        "mean_late_s": max(way.mean_late_s for way in ways),
        "most_late_s": max(way.most_late_s for way in ways),
    }


def _others(ran: Ran) -> list[str]:
    """The steps that move nothing over the link and were not ok."""
    moved = {record["operation_id"] for record in ran.moved()}
    return [
        f"{record['step']} {record['status']}: {record['reason']}"
        for record in ran.results
        if record["operation_id"] not in moved and record["status"] != "ok"
    ]


def _way(record: Record) -> Way:
    return "up" if record["step"] == "upload" else "down"
