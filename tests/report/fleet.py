"""Findings drawn at random: what `hps report` gets from a fleet, without a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hps.compare.comparison import (
    CellSummary,
    Comparison,
    Decision,
    Findings,
    FleetNode,
    Floats,
    Interval,
    Key,
    Needed,
    Pair,
    PairVerdict,
    Provenance,
    Rule,
    TimePoint,
)

CHUNKS = {"5MiB": 0.82, "10MiB": 1.0, "25MiB": 0.97, "64MiB": 0.86}
STREAMS = (1, 4, 10, 16)
REPETITIONS = 3
CLASSES = (
    ("RTT below 50 ms", 0.0, 50.0),
    ("RTT 50 to 150 ms", 50.0, 150.0),
    ("RTT above 150 ms", 150.0, 1e9),
)
RULE = Rule()
_STEPS = (("upload", "up", 0.55), ("download", "down", 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What was drawn of each node; all of shape (nodes,)."""

    names: Sequence[str]
    rtt_ms: Floats
    link_mbps: Floats


def make_findings(nodes: int = 224, seed: int = 1, rejected: int = 14) -> Findings:
    """Two steps, sixteen cells and three classes of round-trip time."""
    rng = np.random.default_rng(seed)
    machines = _machines(nodes, rng)
    comparisons = list(_comparisons(machines, rng))
    drawn = tuple(_nodes(machines, rng))
    return Findings(
        by=("chunk_size", "concurrency"),
        rule=RULE,
        comparisons=tuple(comparisons),
        nodes=drawn,
        rejected=tuple(_rejected(rejected, rng)),
        hours=tuple(_points(24, nodes, rng, 0.12)),
        tenths=tuple(_points(10, nodes, rng, 0.04)),
        provenance=_provenance(nodes),
        notes=("rclone 1.75.2 on all nodes",),
        sentences=("download: 10 streams suffice where RTT is below 50 ms; above 150 ms use 16.",),
    )


def nothing() -> Findings:
    """What is found in results of which not one counts."""
    empty = make_findings(6)
    none = Decision(kind="no data", text="No result counts.")
    bare = replace(empty.comparisons[0], cells=(), pairs=(), units=0, decision=none)
    return replace(
        empty, comparisons=(bare,), nodes=(), rejected=(), hours=(), tenths=(), sentences=()
    )


def _machines(nodes: int, rng: np.random.Generator) -> Machines:
    return Machines(
        names=[f"{rng.integers(16**8):08x}-{place:05d}" for place in range(nodes)],
        rtt_ms=np.clip(rng.gamma(1.7, 48, nodes), 6, 320),
        link_mbps=np.clip(rng.normal(300, 120, nodes), 30, 900),
    )


def _rate(machines: Machines, scale: float, key: Key, rng: np.random.Generator) -> Floats:
    """The least of the link and what so many streams move over this round trip; with noise."""
    streams = int(str(key["concurrency"]))
    window_mbps = streams * 1.2e3 / machines.rtt_ms * CHUNKS[str(key["chunk_size"])]
    both = 1 / (1 / (scale * machines.link_mbps) + 1 / window_mbps)
    rates: Floats = both * rng.lognormal(0, 0.08, len(machines.rtt_ms))
    return rates


def _comparisons(machines: Machines, rng: np.random.Generator) -> Iterator[Comparison]:
    keys: list[Key] = [
        {"chunk_size": chunk, "concurrency": streams} for chunk in CHUNKS for streams in STREAMS
    ]
    for step, direction, scale in _STEPS:
        rates = [_rate(machines, scale, key, rng) for key in keys]
        everywhere = np.ones(len(machines.rtt_ms), dtype=bool)
        yield _comparison(step, direction, "", keys, [rate[everywhere] for rate in rates])
        for stratum, low, high in CLASSES:
            inside = (machines.rtt_ms >= low) & (machines.rtt_ms < high)
            yield _comparison(step, direction, stratum, keys, [rate[inside] for rate in rates])


def _comparison(
    step: str, direction: str, stratum: str, keys: Sequence[Key], rates: Sequence[Floats]
) -> Comparison:
    cells = [_cell(key, rate, step) for key, rate in zip(keys, rates, strict=True)]
    pairs = [
        _pair(keys[a], keys[b], rates[a], rates[b])
        for a, b in combinations(range(len(keys)), 2)
        if len(rates[a]) > 2
    ]
    return Comparison(
        title=step,
        shared={"size": "200MiB", "files": 1, "content": "random", "tool": "rclone"},
        step=step,
        direction=direction,
        unit="node",
        units=len(rates[0]),
        stratum=stratum,
        cells=tuple(cells),
        pairs=tuple(pairs),
        decision=_decision(step, stratum, cells),
        notes=(f"{step}: effective settings are as requested",),
    )


def _cell(key: Key, rate: Floats, step: str) -> CellSummary:
    units = len(rate)
    bad = 2 + units // 60 if key["concurrency"] == 16 and step == "upload" else 0
    total = units * REPETITIONS
    seconds = 200 * 8 * 1.048576 / rate if units else rate
    share = bad / total if total else None
    return CellSummary(
        key=key,
        units=units,
        ok=total - bad,
        statuses={"ok": total - bad, **({"failed": bad} if bad else {})},
        median_mbps=float(np.median(rate)) if units else None,
        interval=_interval(rate),
        p10_mbps=float(np.quantile(rate, 0.1)) if units else None,
        p90_mbps=float(np.quantile(rate, 0.9)) if units else None,
        first_done_s=float(seconds.min()) if units else None,
        last_done_s=float(seconds.max()) if units else None,
        p50_duration_s=float(np.median(seconds)) if units else None,
        failure_rate=share,
        failure_interval=_share_interval(share, total),
        requests_per_gb=110.0,
        dollars_per_gb=0.0005,
    )


def _interval(values: Floats) -> Interval | None:
    if len(values) < 6:
        return None
    half = 1.96 * 1.2533 * float(values.std()) / len(values) ** 0.5
    middle = float(np.median(values))
    return Interval(low=middle - half, high=middle + half)


def _share_interval(share: float | None, total: int) -> Interval | None:
    if share is None:
        return None
    half = 1.96 * (share * (1 - share) / total) ** 0.5
    return Interval(low=max(0.0, share - half), high=share + half + 3 / total)


def _pair(a: Key, b: Key, rate_a: Floats, rate_b: Floats) -> Pair:
    logs = np.log(rate_a / rate_b)
    half = 2.4 * float(logs.std()) / len(logs) ** 0.5
    middle = float(np.median(logs))
    low, high = float(np.exp(middle - half)), float(np.exp(middle + half))
    return Pair(
        a=a,
        b=b,
        units=len(logs),
        ratio=float(np.exp(middle)),
        interval=Interval(low=low, high=high),
        test="Wilcoxon",
        p=0.0004,
        p_adjusted=0.006,
        verdict=_verdict(low, high),
    )


def _verdict(low: float, high: float) -> PairVerdict:
    if low > 1.05:
        return "faster"
    if high < 1 / 1.05:
        return "slower"
    return "alike" if low > 1 / 1.05 and high < 1.05 else "inconclusive"


def _decision(step: str, stratum: str, cells: Sequence[CellSummary]) -> Decision:
    known = [cell for cell in cells if cell.median_mbps is not None]
    if len(known) < 2:
        return Decision(kind="no data", text="No result counts.")
    first, second = sorted(known, key=lambda cell: -(cell.median_mbps or 0))[:2]
    if stratum == "RTT 50 to 150 ms":
        needed = Needed(effect=0.05, more_units=48, more_repetitions=None)
        text = "The two fastest cannot be told apart."
        return Decision(kind="inconclusive", text=text, runner_up=second.key, needed=needed)
    said = f"Use {first.key['chunk_size']} chunks and {first.key['concurrency']} streams"
    return Decision(
        kind="winner" if step == "upload" else "suffices",
        text=f"{said}: {first.median_mbps:.0f} Mbps; {second.median_mbps:.0f} Mbps for the next.",
        cell=first.key,
        runner_up=second.key,
    )


def _nodes(machines: Machines, rng: np.random.Generator) -> Iterator[FleetNode]:
    countries = ("US", "CA", "DE", "BR", "PL", None)
    download = machines.link_mbps * rng.uniform(0.6, 0.9, len(machines.link_mbps))
    upload = np.clip(24 + 0.456 * download + rng.normal(0, 90, len(download)), 5, None)
    for place, name in enumerate(machines.names):
        rates = float(upload[place]), float(download[place])
        rtt_s = float(machines.rtt_ms[place]) / 1000
        yield FleetNode(
            machine_id=name,
            rtt_s=rtt_s,
            upload_mbps=rates[0],
            download_mbps=rates[1],
            country=countries[place % len(countries)],
            gpu="NVIDIA GeForce RTX 4090",
            accepted=True,
            checks=tuple(_checks(rates[0] + 20, rates[1] + 50, rtt_s)),
        )


def _checks(upload: float, download: float, rtt_s: float) -> Iterator[Mapping[str, object]]:
    rules = (("min_upload", upload, 20.0, "Mbps"), ("min_download", download, 50.0, "Mbps"))
    for name, value, bound, unit in rules:
        outcome = "pass" if value >= bound else "fail"
        yield {"name": name, "value": value, "bound": bound, "unit": unit, "outcome": outcome}
    outcome = "pass" if rtt_s <= 0.35 else "fail"
    yield {"name": "max_rtt", "value": rtt_s, "bound": 0.35, "unit": "s", "outcome": outcome}


def _rejected(nodes: int, rng: np.random.Generator) -> Iterator[FleetNode]:
    for place in range(nodes):
        upload, download = float(rng.uniform(2, 30)), float(rng.uniform(20, 49))
        yield FleetNode(
            machine_id=f"rejected-{place:04d}",
            rtt_s=0.2,
            upload_mbps=None,
            download_mbps=None,
            country="FR",
            gpu=None,
            accepted=False,
            reasons=(f"min_download: {download:.1f} Mbps is less than 50 Mbps",),
            checks=tuple(_checks(upload, download, 0.2)),
        )


def _points(slots: int, nodes: int, rng: np.random.Generator, swing: float) -> Iterator[TimePoint]:
    for step in ("upload", "download"):
        for at in range(slots):
            middle = 1 + swing * np.cos(at / slots * 2 * np.pi) + rng.normal(0, 0.01)
            low, high = float(middle - 0.06), float(middle + 0.07)
            yield TimePoint(
                step=step,
                at=at,
                n=nodes * 2,
                median_ratio=float(middle),
                low_ratio=low,
                high_ratio=high,
            )


def _provenance(nodes: int) -> Provenance:
    return Provenance(
        experiments=("chunk-concurrency-sweep",),
        specs=("9f2ac1d07be4c1a55d8e4b1f1d1a77cfe0a35c42b1a9de2f4a6b1b23c45d6e7f",),
        sources=("experiments/chunk-concurrency-sweep.yaml",),
        hps_versions=("0.4.0",),
        tools=("rclone v1.75.2",),
        runs=nodes + 14,
        nodes=nodes,
        results=nodes * 16 * 2 * REPETITIONS,
        first_at="2026-08-30T08:12:44.120000Z",
        last_at="2026-09-01T19:40:02.500000Z",
        skipped_files={"hps-cache/notes.jsonl": "line 1: not a record of hps"},
    )
