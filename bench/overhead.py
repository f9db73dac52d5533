"""What the runner costs: an operation as `hps` measures it against the same command run bare.

    python -m bench.overhead [--sizes 1MiB 10MiB 200MiB 1000MiB] [--pairs 20] [--write]

Pairs run in turn, A B B A …, against one embedded S3 server, so that a drift of the machine falls
on both. Printed: the ratio of the medians, the median of the paired ratios and their quartiles; the
time between the operations of a real run, from its journal; and what starting takes, see
`bench.starting`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

from tabulate import tabulate

from bench import leaving, quiet, starting, written
from hps.data import payload
from hps.data.shape import Shape
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.model import Target, Transfer
from hps.process import process
from hps.process.sockets import ConnectionCounter
from hps.targets import embedded
from hps.tools.rclone import command
from hps.tools.rclone.remote import remote_of
from hps.units import format_size, parse_size_bytes

MIB = 1024**2
HEADING = "Overhead"
_LARGE_BYTES = 500 * MIB
_LARGE_PAIRS = 7
_TIMEOUT_S = 300.0


def main() -> int:
    """Run every size both ways, print the tables."""
    options = _options()
    quiet.check_before(options.write)
    before = quiet.look()
    rows = [
        [size, *row]
        for size in options.sizes
        for row in _rows(parse_size_bytes(size), options.pairs, options.concurrency)
    ]
    steal_cores = quiet.between(before, quiet.look()).steal_cores
    headers = ["size", "operation", "pairs", "bare, median s", "hps, median s", "ratio of medians",
               "median ratio", "quartiles"]  # fmt: skip
    text = "\n\n".join(
        (
            f"{written.machine()} {options.concurrency} streams, chunks of 5 MiB, on loopback.",
            tabulate(rows, headers=headers, floatfmt=".4f", tablefmt="github"),
            _gaps("64MiB"),
            starting.table(),
        )
    )
    print(f"## {HEADING}\n\n{text}")
    # On loopback a transfer takes all that there is, bare as well as measured: what is idle then
    # says nothing. What other machines took does.
    if steal_cores > quiet.MOST_STEAL_CORES:
        print(f"void: {steal_cores:.2f} of a processor were stolen", file=sys.stderr)
        return EXIT_OPERATION_FAILED
    if options.write:
        written.write(HEADING, text)
    return EXIT_OK


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["1MiB", "10MiB", "200MiB", "1000MiB"])
    parser.add_argument("--pairs", type=int, default=20, help="of each; fewer from 500 MiB on")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--write", action="store_true", help=f"into {written.RESULTS.name}")
    return parser.parse_args()


def _rows(size_bytes: int, pairs: int, concurrency: int) -> list[list[object]]:
    fewer = min(pairs, _LARGE_PAIRS) if size_bytes >= _LARGE_BYTES else pairs
    with _commands(size_bytes, concurrency) as (commands, guard, folder):
        return [_compare(name, command, fewer, guard, folder) for name, command in commands.items()]


@contextmanager
def _commands(
    size_bytes: int, concurrency: int
) -> Iterator[tuple[dict[str, process.Command], process.Guard, Path]]:
    """An upload and a download exactly as `hps` builds them, against a server of their own."""
    binary, keys = command.find_binary(os.environ), embedded.new_keys()
    transfer = Transfer(
        chunk_size_bytes=5 * MIB, concurrency=concurrency, transfers=4, http2=False, checksum=True
    )
    with tempfile.TemporaryDirectory() as name, process.Guard() as guard:
        folder = Path(name)
        shape = Shape(size_bytes=size_bytes, files=1, content="random", layout="flat")
        made = payload.make(shape, folder, binary, guard)
        target = Target(name="local", provider="embedded")
        with embedded.serve(target, folder / "served", binary, keys, guard) as served:
            remote = remote_of(served)
            up = command.upload(
                remote,
                str(made.single_file),
                "bench/0.bin",
                transfer,
                size_bytes=size_bytes,
                folder=False,
            )
            down = command.download(
                remote, "bench/0.bin", str(folder / "down.bin"), transfer, folder=False
            )
            yield (
                {"upload": up.command(binary, keys), "download": down.command(binary, keys)},
                guard,
                folder,
            )


def _compare(
    name: str, command: process.Command, pairs: int, guard: process.Guard, folder: Path
) -> list[object]:
    bare, measured = [], []
    for number in range(pairs + 1):
        first, second = (_bare, _measured) if number % 2 else (_measured, _bare)
        times = {first: first(command, guard, folder), second: second(command, guard, folder)}
        if number:  # the first pair warms the caches
            bare.append(times[_bare])
            measured.append(times[_measured])
    ratios = [ours / theirs for ours, theirs in zip(measured, bare, strict=True)]
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    ratio = median(measured) / median(bare)
    return [name, pairs, median(bare), median(measured), ratio, middle, f"{low:.3f} to {high:.3f}"]


def _bare(command: process.Command, guard: process.Guard, folder: Path) -> float:
    with (folder / "bare.log").open("wb") as log:
        start_s = time.monotonic()
        child = subprocess.Popen(
            command.argv, env=command.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        # A wait with a time-out looks in steps of up to 50 ms only, which would flatter `hps`.
        bound = threading.Timer(_TIMEOUT_S, child.kill)
        bound.start()
        try:
            code = child.wait()
            duration_s = time.monotonic() - start_s
        finally:
            bound.cancel()
    if code:
        raise subprocess.CalledProcessError(code, command.argv)
    return duration_s


def _measured(command: process.Command, guard: process.Guard, folder: Path) -> float:
    return process.run(
        command,
        timeout_s=_TIMEOUT_S,
        guard_process=guard,
        stdout=folder / "hps.out",
        stderr=folder / "hps.log",
        sampler=ConnectionCounter(),
    ).duration_s


def _gaps(size: str) -> str:
    """From the end of one operation to the start of the next, over a whole run of `hps`."""
    with tempfile.TemporaryDirectory() as output:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "hps",
                "run",
                "experiments/quickstart.yaml",
                "--output",
                output,
                "--set",
                f"data.size={size}",
                "--set",
                "repetitions=5",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=600,
            check=True,
        )
        journal = next(Path(output).rglob("*.jsonl"))
        results = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    starts = [datetime.fromisoformat(record["started_at"]).timestamp() for record in results]
    ends = [start + record["duration_s"] for start, record in zip(starts, results, strict=True)]
    gaps_ms = sorted(1000 * (start - end) for start, end in zip(starts[1:], ends, strict=False))
    return (
        f"time between {len(results)} operations of {format_size(parse_size_bytes(size))}: median "
        f"{median(gaps_ms):.1f} ms, 99 % {gaps_ms[int(0.99 * len(gaps_ms))]:.1f} ms, "
        f"most {gaps_ms[-1]:.1f} ms"
    )


if __name__ == "__main__":
    sys.exit(leaving.told(main))
