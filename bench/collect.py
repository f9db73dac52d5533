"""What collecting costs: `hps results pull` against one process for every file.

    python -m bench.collect [--files 10000] [--lines 50] [--sample 200]

Both fetch from one S3 server on loopback (`rclone serve s3`). One process a file is measured on a
sample and multiplied, which is said. Then the first query, which reads all lines, and one more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tabulate import tabulate

from hps.tools.rclone import command
from tests.results.fleet import grid, write_fleet
from tests.servers.rclone_client import remote_environment
from tests.servers.rclone_s3 import find_rclone, serve_s3
from tests.servers.s3_server import S3Server

_TIMEOUT_S = 1800.0
_SIMULATED = 200
_QUERY = "select count(*) as results, count(distinct machine_id) as nodes from results"


def main() -> None:
    """Write the files, fetch them both ways, print the table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hps-bench-") as name:
        folder = Path(name)
        with serve_s3(folder / "served") as server:
            stored = folder / "served" / server.bucket / "fleet" / "results"
            paths = _write(stored, options.files, options.lines)
            size_mb = sum(path.stat().st_size for path in paths) / 1e6
            print(_heading(len(paths), options.lines, size_mb))
            one_s = _one_by_one(
                server, [path.relative_to(stored) for path in paths], folder, options
            )
            rows = _ours(server, folder, len(paths))
    each_s = one_s / options.sample
    all_s = each_s * len(paths)
    first = [f"one process a file ({options.sample} measured, times {len(paths)})", all_s, 1.0]
    body = [first, *([what, s, all_s / s if "pull" in what else None] for what, s in rows)]
    print(tabulate(body, headers=["", "s", "times faster"], floatfmt=(".0f", ".2f", ".1f")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--sample", type=int, default=200)
    return parser.parse_args()


def _heading(files: int, lines: int, size_mb: float) -> str:
    return (
        f"{files} files of {lines} lines, {size_mb:.0f} MB; rclone "
        f"{command.read_version(find_rclone())}, Python {platform.python_version()}, "
        f"{os.cpu_count()} CPUs, {datetime.now(UTC):%Y-%m-%d}"
    )


def _write(folder: Path, files: int, lines: int) -> list[Path]:
    """Files of some simulated nodes, and the same under other names for all the others."""
    simulated = write_fleet(
        folder,
        nodes=min(files, _SIMULATED),
        cells=grid(concurrency=list(range(1, lines))),
        repetitions=1,
        steps=("download",),
    )
    return simulated + [
        _copy(simulated[number % len(simulated)], number) for number in range(len(simulated), files)
    ]


def _copy(path: Path, number: int) -> Path:
    """The same run on another machine."""
    machine_id, run_id = path.parent.name, path.stem
    others = {machine_id: f"copy-{number:06d}", run_id: f"{run_id[:20]}{number:06x}"}
    text, to = path.read_text(), str(path)
    for old, new in others.items():
        text, to = text.replace(old, new), to.replace(old, new)
    Path(to).parent.mkdir()
    Path(to).write_text(text)
    return Path(to)


def _one_by_one(
    server: S3Server, names: Sequence[Path], folder: Path, options: argparse.Namespace
) -> float:
    """Seconds for a sample of the files, one `rclone copyto` after the other."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **remote_environment(server)}
    chosen = names[:: max(1, len(names) // options.sample)][: options.sample]
    start_s = time.monotonic()
    for name in chosen:
        place = f"T:{server.bucket}/fleet/results/{name}"
        _run([find_rclone(), "copyto", place, str(folder / "one" / name)], env)
    return time.monotonic() - start_s


def _ours(server: S3Server, folder: Path, files: int) -> list[tuple[str, float]]:
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_REGION": "auto",
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "BUCKET": server.bucket,
        "FOLDER": "fleet",
    }
    cache = str(folder / "cache")
    hps = [sys.executable, "-m", "hps", "results"]
    pull = [*hps, "pull", "--from", "s3", "--cache", cache, "--format", "json"]
    query = [*hps, "query", _QUERY, "--input", cache]
    rows = []
    for what, arguments in (
        ("hps results pull, all new", pull),
        ("hps results pull, nothing new", pull),
        ("hps results query, the first: reads all lines", query),
        ("hps results query, the second", query),
    ):
        start_s = time.monotonic()
        out = _run(arguments, env)
        rows.append((what, time.monotonic() - start_s))
        if what.endswith("all new") and json.loads(out)["new"] != files:
            raise RuntimeError(f"not all files were fetched: {out}")
    return rows


def _run(command: Sequence[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
