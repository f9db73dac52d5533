"""What becomes of the stored results: pulled, compared and reported, as a user would do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.fleet.bucket import Bucket
from bench.fleet.measure import EXPERIMENT
from bench.node_run import REPOSITORY
from hps.errors import EXIT_NO_DATA, EXIT_OK, HpsError, MachineError
from hps.results import journal

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one node's newest run stored; None where it measured nothing.

    The rates are those of the probe and those of the operations that were `ok`.
    """

    machine_id: str
    accepted: bool
    rtt_ms: float | None
    probe_up_mbps: float | None
    probe_down_mbps: float | None
    up_mbps: float | None
    down_mbps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was pulled, by machine id, what `hps compare` says, and where the page is."""

    seen: Mapping[str, Seen]
    compared: str
    page: Path


def gather(bucket: Bucket, folder: Path, tell: Callable[[str], None]) -> Gathered:
    """Pull into `folder`, compare, and write the page there. Raises `HpsError` where one fails."""
    cache, page = folder / "cache", folder / "report.html"
    shutil.rmtree(cache, ignore_errors=True)
    with bucket.here() as env:
        tell(_hps(env, "results", "pull", EXPERIMENT, "--from", "r2", "--cache", str(cache)))
    compared = _hps({}, "compare", EXPERIMENT, "--input", str(cache))
    tell(_hps({}, "report", EXPERIMENT, "--input", str(cache), "-o", str(page)))
    runs = sorted((cache / EXPERIMENT).glob("*/*.jsonl"))
    return Gathered(seen={run.parent.name: see(run) for run in runs}, compared=compared, page=page)


def see(path: Path) -> Seen:
    """Read one journal. Raises `HpsError` where it is none."""
    records = journal.latest(journal.read(path).records)
    run = next((record for record in records if record["kind"] == "run"), None)
    if run is None:
        raise HpsError(f"{path}: does not say what was run")
    rates = {
        record["step"]: record["throughput_mbps"]
        for record in records
        if record["kind"] == "result" and record["status"] == "ok" and not record["warmup"]
    }
    rtt_s = _number(run, "probe", "rtt", "median_s")
    return Seen(
        machine_id=str(run["machine_id"]),
        accepted=bool(_at(run, "verdict", "accepted")),
        rtt_ms=None if rtt_s is None else 1000 * rtt_s,
        probe_up_mbps=_number(run, "probe", "upload_mbps", "value"),
        probe_down_mbps=_number(run, "probe", "download_mbps", "value"),
        up_mbps=_number(rates, "upload"),
        down_mbps=_number(rates, "download"),
    )


def _at(record: object, *names: str) -> object:
    for name in names:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _number(record: object, *names: str) -> float | None:
    value = _at(record, *names)
    return float(value) if isinstance(value, int | float) else None


def _hps(env: Mapping[str, str], *arguments: str) -> str:
    """A command of `hps` as a process of its own; returns its answer."""
    ended = subprocess.run(
        [sys.executable, "-m", "hps", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if ended.returncode not in {EXIT_OK, EXIT_NO_DATA}:
        command = f"hps {' '.join(arguments[:2])}"
        raise MachineError(f"{command} ended with {ended.returncode}:\n{ended.stderr.strip()}")
    return (ended.stdout or ended.stderr).rstrip()
