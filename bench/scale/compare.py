"""Comparing ever more results: `hps compare` and `hps report`, 96 results on each node.

`hps compare` runs first on files that it has not seen, then again on what it has indexed. Each is
a process of its own; the peak is its resident memory as the kernel counts it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import many_results
from hps.errors import MachineError
from hps.results.index import FOLDER as INDEX

_FEWEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a command took: wall time, time on all processors, and peak of resident memory."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def _run(*command: str) -> Used:
    """A command to its end, without its output. Raises `MachineError` where it fails."""
    started_s = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - started_s
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise MachineError(f"{' '.join(command[1:4])} ended with {child.returncode}")
    return Used(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def compare(most: int, keep: Path | None) -> str:
    """`hps compare` and `hps report` on ever more results, as a table."""
    rows = []
    results = _FEWEST
    while results <= most:
        with _folder(keep, f"compare-{results}") as folder:
            shutil.rmtree(folder / INDEX, ignore_errors=True)
            there = len(list(folder.rglob("*.jsonl")))
            nodes = there or many_results.write(folder, results)
            command = (sys.executable, "-m", "hps", "compare", str(folder))
            first, again = _run(*command), _run(*command)
            page = folder / "report.html"
            report = _run(sys.executable, "-m", "hps", "report", str(folder), "-o", str(page))
            page_bytes = page.stat().st_size
        rows.append(
            [
                nodes * many_results.RESULTS_A_NODE,
                nodes,
                first.wall_s,
                again.wall_s,
                again.cpu_s,
                max(first.peak_bytes, again.peak_bytes) / 1e6,
                report.wall_s,
                page_bytes / 1e6,
            ]
        )
        print(f"{results:,} results: {again.wall_s:.1f} s", file=sys.stderr, flush=True)
        results *= 10
    return tabulate(rows, headers=_HEADERS, floatfmt=".1f", intfmt=",", tablefmt="github")


_HEADERS = ["results", "nodes", "first time, s", "indexed, s", "indexed, CPU s", "peak, MB",
            "report, s", "page, MB"]  # fmt: skip


@contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    """A folder for the files of one size."""
    if keep is not None:
        (keep / name).mkdir(parents=True, exist_ok=True)
        yield keep / name
    else:
        with tempfile.TemporaryDirectory(prefix="hps-bench-") as folder:
            yield Path(folder)
