"""Findings by hand: a sweep of four cells in two RTT classes, with everything that can be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from hps.compare.comparison import (
    CellSummary,
    Change,
    Comparison,
    Decision,
    Findings,
    FleetNode,
    Interval,
    Key,
    Needed,
    Pair,
    Provenance,
    Reason,
    Rule,
    TimePoint,
)

NEAR, FAR = "RTT below 50 ms", "RTT above 150 ms"


def key(chunk_size: str = "10MiB", concurrency: int = 8) -> Key:
    """A cell of the sweep."""
    return MappingProxyType({"chunk_size": chunk_size, "concurrency": concurrency})


FAST, SLOW, WIDE = key(), key(concurrency=1), key("25MiB", 32)
TWIN = key("25MiB", 1)
THROTTLED = Reason(code="throttled", owner="target", count=3)


def cell(of: Key = FAST, mbps: float | None = 200.0, **changes: object) -> CellSummary:
    """A cell of 40 nodes that all went well, from 0.5 to 1.5 of the median rate."""
    plain = CellSummary(
        key=of,
        units=40,
        ok=120,
        statuses={"ok": 120},
        median_mbps=mbps,
        interval=Interval(low=mbps * 0.9, high=mbps * 1.1) if mbps else None,
        p10_mbps=mbps and mbps * 0.6,
        p90_mbps=mbps and mbps * 1.4,
        first_done_s=mbps and 1000 / mbps,
        last_done_s=mbps and 4000 / mbps,
        p50_duration_s=mbps and 1678 / mbps,
        failure_rate=0.0,
        failure_interval=Interval(low=0.0, high=0.03),
        requests_per_gb=110.0,
        dollars_per_gb=0.0375,
        min_mbps=mbps and mbps * 0.5,
        max_mbps=mbps and mbps * 1.5,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def pair(a: Key = SLOW, b: Key = FAST, ratio: float = 0.5, **changes: object) -> Pair:
    """A difference that a test found."""
    plain = Pair(
        a=a,
        b=b,
        units=40,
        ratio=ratio,
        interval=Interval(low=ratio * 0.95, high=ratio * 1.05),
        test="Wilcoxon",
        p=1e-6,
        p_adjusted=3e-6,
        verdict="slower" if ratio < 1 else "faster",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def comparison(**changes: object) -> Comparison:
    """Downloads of near nodes: eight streams suffice."""
    not_ok = {"ok": 115, "failed": 3, "invalid": 2}
    wide = pair(WIDE, FAST, 1.02, verdict="alike", p_adjusted=0.31)
    plain = Comparison(
        title="download",
        shared=MappingProxyType({"size": "200MiB", "files": 1}),
        step="download",
        direction="down",
        unit="node",
        units=40,
        stratum=NEAR,
        cells=(
            cell(SLOW, 100.0),
            cell(FAST, 200.0),
            cell(WIDE, 204.0, ok=115, statuses=not_ok, reasons=(THROTTLED,), failure_rate=0.0417),
            cell(TWIN, None, same_as=SLOW, statuses={}, ok=0, units=0),
        ),
        pairs=(pair(), wide, pair(WIDE, SLOW, 2.04)),
        decision=Decision(
            kind="suffices",
            text="chunk size 10MiB with concurrency 8 suffices: nothing is faster by 5 %.",
            cell=FAST,
        ),
        provider="cloudflare",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def far() -> Comparison:
    """Downloads of far nodes: too few to decide."""
    return comparison(
        stratum=FAR,
        units=5,
        pairs=(
            pair(
                ratio=0.9,
                test="none",
                p=None,
                p_adjusted=None,
                verdict="inconclusive",
                reason="5 nodes: no test can succeed below 8 with 3 comparisons",
            ),
        ),
        decision=Decision(
            kind="inconclusive",
            text="inconclusive: chunk size 10MiB with concurrency 8 looks best.",
            needed=Needed(effect=0.05, more_units=12, more_repetitions=None),
        ),
        notes=("effective concurrency differs from what was requested",),
    )


def change(ratio: float | None = 0.97, **changes: object) -> Change:
    """A cell now and before: as good as the same."""
    plain = Change(
        title="download",
        step="download",
        stratum=NEAR,
        key=FAST,
        ratio=ratio,
        interval=Interval(low=ratio - 0.01, high=ratio + 0.01) if ratio else None,
        p=0.2,
        p_adjusted=0.4,
        verdict="alike",
        n=40,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def node(number: int, **changes: object) -> FleetNode:
    """A machine that was rejected for its download rate."""
    check = {
        "name": "min_download",
        "value": 30.0 + number,
        "bound": 50.0,
        "unit": "Mbps",
        "outcome": "fail",
        "reason": "",
    }
    plain = FleetNode(
        machine_id=f"machine-{number}",
        rtt_s=0.02,
        upload_mbps=None,
        download_mbps=None,
        country="US",
        gpu=None,
        accepted=False,
        reasons=(f"min_download: {30 + number} Mbps is below 50 Mbps",),
        checks=(MappingProxyType(check),),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def findings(*comparisons: Comparison, **changes: object) -> Findings:
    """All that there is, with these comparisons."""
    skipped: Mapping[str, str] = {"results/torn.jsonl": "line 7 is torn"}
    plain = Findings(
        by=("chunk_size", "concurrency"),
        rule=Rule(),
        comparisons=comparisons,
        nodes=(node(99, accepted=True, reasons=(), checks=()),),
        rejected=(node(1), node(2)),
        hours=(
            TimePoint(step="download", at=3, n=9, median_ratio=1.0, low_ratio=0.9, high_ratio=1.1),
        ),
        tenths=(),
        provenance=Provenance(
            experiments=("sweep",),
            specs=("0123456789abcdef" * 4,),
            sources=("experiments/sweep.yaml",),
            hps_versions=("0.4.0",),
            tools=("rclone 1.75.2",),
            runs=45,
            nodes=45,
            results=1234,
            first_at="2026-11-01T10:00:00Z",
            last_at="2026-11-20T10:00:00Z",
            skipped_files=skipped,
        ),
        notes=("sizes 100MiB and 200MiB were kept apart",),
        sentences=("Below 50 ms RTT concurrency 8 suffices; above 150 ms nothing is decided.",),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]
