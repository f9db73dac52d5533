"""How time and memory grow with what is stored.

    python -m bench.scale compare [--most 1000000] [--keep DIR] [--write]

`compare`: `hps compare` on 10^3 results, 10^4 and so on, 96 on each node; first on files that it
has not seen, then again on what it has indexed; then `hps report` on the same. Each is a process of
its own; the peak is its resident memory as the kernel counts it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import many_results, written
from hps.collect.index import FOLDER as INDEX

_FEWEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took: wall time, time on all processors, and peak of resident memory."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def main() -> None:
    """Run the part that is asked for."""
    options = _options()
    text = f"{written.machine()}\n\n{_PARTS[options.part](options)}"
    print(text)
    if options.write:
        written.write(f"Scale: {options.part}", text)


def run(*command: str) -> Cost:
    """A command to its end, without its output. Raises `CalledProcessError` where it fails."""
    started_s = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - started_s
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Cost(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def compare(options: argparse.Namespace) -> str:
    """`hps compare` and `hps report` on ever more results, as a table."""
    rows = []
    results = _FEWEST
    while results <= options.most:
        with _folder(options.keep, f"compare-{results}") as folder:
            shutil.rmtree(folder / INDEX, ignore_errors=True)
            there = len(list(folder.rglob("*.jsonl")))
            nodes = there or many_results.write(folder, results)
            command = (sys.executable, "-m", "hps", "compare", str(folder))
            first, again = run(*command), run(*command)
            page = folder / "report.html"
            report = run(sys.executable, "-m", "hps", "report", str(folder), "-o", str(page))
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
_PARTS: Mapping[str, Callable[[argparse.Namespace], str]] = {"compare": compare}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=_PARTS)
    parser.add_argument("--most", type=int, default=1_000_000, help="the largest number of results")
    parser.add_argument("--keep", type=Path, help="write the files here, and leave them")
    parser.add_argument("--write", action="store_true", help=f"into {written.RESULTS.name}")
    return parser.parse_args()


@contextmanager
def _folder(keep: Path | None, name: str) -> Iterator[Path]:
    """A folder for the files of one size."""
    if keep is not None:
        (keep / name).mkdir(parents=True, exist_ok=True)
        yield keep / name
    else:
        with tempfile.TemporaryDirectory(prefix="hps-bench-") as folder:
            yield Path(folder)


if __name__ == "__main__":
    main()
