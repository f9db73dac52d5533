"""How fast files get to the GPU, and what copying beside a download costs.

    python -m bench.gpu            print the tables
    python -m bench.gpu --write    and put them into bench/RESULTS.md

Needs torch (`pip install 'hps[gpu]'`); without it the exit code is 5. Without a GPU the CPU's
memory stands in for one, and the tables say so.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from bench import written
from bench.surroundings import Surroundings, surroundings
from hps.errors import EXIT_NO_DATA, EXIT_OPERATION_FAILED, HpsError
from hps.gpu import device, loading
from hps.plan.expand import expand
from hps.spec.load import load as load_spec
from hps.spec.source import SpecText
from hps.units import format_size, parse_size_bytes

HEADING = "To the GPU"
_SPEC = """\
api: hps/v1
name: bench-gpu
targets: {{local: {{provider: embedded}}}}
data: {{size: {size}}}
matrix: {{chunk_size: [{chunk_size}], concurrency: [{concurrency}], checksum: [{checksum}]}}
steps: [upload, download, download_to_gpu, delete]
"""
Row = list[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table and the line above it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Row]

    def text(self) -> str:
        """As Markdown, which reads well on a terminal too."""
        return f"{self.title}\n\n{tabulate(self.rows, self.headers, tablefmt='github')}\n"


def main() -> int:
    """Measure, print, and write where asked to."""
    options = _options()
    if importlib.util.find_spec("torch") is None:
        print(device.NO_TORCH, file=sys.stderr)
        return EXIT_NO_DATA
    try:
        with device.opened() as opened, surroundings(os.environ) as around:
            sections = [_loads(opened, options, around), _downloads(options, around)]
            text = "\n".join([_machine(opened), *(section.text() for section in sections)])
    except (HpsError, device.DeviceError) as error:
        print(error, file=sys.stderr)
        return EXIT_OPERATION_FAILED
    print(f"## {HEADING}\n\n{text}")
    if options.write:
        written.write(HEADING, text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--load-sizes", nargs="+", default=["16MiB", "256MiB", "1GiB"])
    parser.add_argument("--load-repetitions", type=int, default=5)
    parser.add_argument("--size", default="200MiB", help="of the file that is downloaded")
    parser.add_argument("--chunk-size", default="10MiB")
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 4, 10])
    parser.add_argument("--no-checksum", action="store_true", help="without rclone's own check")
    parser.add_argument("--pairs", type=int, default=9, help="of downloads with and without copy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"into {written.RESULTS.name}")
    return parser.parse_args()


def _machine(opened: device.Device) -> str:
    return (
        f"{written.machine()} {opened.name}, torch {opened.torch.__version__}. GB are 10^9 bytes.\n"
    )


# --- files to the device -------------------------------------------------------------------------


def _loads(opened: device.Device, options: argparse.Namespace, around: Surroundings) -> Section:
    sizes = [parse_size_bytes(size) for size in options.load_sizes]
    limit = _bus_gb_per_s(opened, max(sizes), options.load_repetitions)
    rows: list[Row] = []
    for size_bytes in sizes:
        path = around.make_file(size_bytes)
        memory = opened.allocate(size_bytes)
        for method in loading.METHODS:
            rates = [
                device.gb_per_s(size_bytes, _load_s(opened, path, memory, method))
                for _ in range(options.load_repetitions)
            ]
            middle = median(rates)
            rows.append(
                [format_size(size_bytes), method, _spread(rates), f"{100 * middle / limit:.0f} %"]
            )
        del memory
        path.unlink()
    title = (
        f"Files in the page cache to {opened.name}, chunks of "
        f"{format_size(loading.DEFAULT_CHUNK_BYTES)}, {options.load_repetitions} times each. "
        f"The limit, copies of one buffer that is page-locked on a GPU: {limit:.3g} GB/s."
    )
    return Section(title=title, headers=["size", "method", "GB/s", "of the limit"], rows=rows)


def _load_s(opened: device.Device, path: Path, memory: Any, method: str) -> float:
    chunk_bytes = min(loading.DEFAULT_CHUNK_BYTES, int(memory.numel()))
    with loading.loader(opened, method, chunk_bytes) as load:
        start_s = time.monotonic()
        load(path, memory, lambda: None)
        opened.wait()
        return time.monotonic() - start_s


def _bus_gb_per_s(opened: device.Device, size_bytes: int, repetitions: int) -> float:
    """The fastest of some copies of a single buffer, with no file involved."""
    buffer, memory = opened.buffer(size_bytes, page_locked=True), opened.allocate(size_bytes)
    times_s = []
    for _ in range(repetitions + 1):
        opened.wait()
        start_s = time.monotonic()
        memory.copy_(buffer, non_blocking=True)
        opened.wait()
        times_s.append(time.monotonic() - start_s)
    return device.gb_per_s(size_bytes, min(times_s[1:]))


# --- objects to the device -----------------------------------------------------------------------


def _downloads(options: argparse.Namespace, around: Surroundings) -> Section:
    rows = [
        row for concurrency in options.concurrency for row in _pairs(options, around, concurrency)
    ]
    checksum = "without" if options.no_checksum else "with"
    title = (
        f"{options.size} from `rclone serve s3` on this machine in chunks of {options.chunk_size}, "
        f"{checksum} rclone's checksum: `download` and `download_to_gpu` in random order, "
        f"{options.pairs} pairs. Own cost: what was left to copy when its own download had ended."
    )
    headers = ["streams", "download s", "download_to_gpu s", "ratio of medians", "ratio of pairs",
               "own cost %"]  # fmt: skip
    return Section(title=title, headers=headers, rows=rows)


def _pairs(options: argparse.Namespace, around: Surroundings, concurrency: int) -> Iterator[Row]:
    text = _SPEC.format(
        size=options.size,
        chunk_size=options.chunk_size,
        concurrency=concurrency,
        checksum=str(not options.no_checksum).lower(),
    )
    spec = load_spec(SpecText(name="bench", content=text.encode()), env={})
    by_kind = {operation.step.kind: operation for operation in expand(spec).operations}
    around.perform(by_kind["upload"])
    order = random.Random(f"{options.seed}-{concurrency}")
    alone_s, to_gpu_s, costs = [], [], []
    for _ in range(options.pairs + 1):
        kinds = order.sample(["download", "download_to_gpu"], 2)
        done = {kind: around.perform(by_kind[kind]) for kind in kinds}
        alone_s.append(done["download"].duration_s)
        to_gpu_s.append(done["download_to_gpu"].duration_s)
        costs.append(float(str(done["download_to_gpu"].extra["overlap_cost_percent"])))
    around.perform(by_kind["delete"])
    alone_s, to_gpu_s, costs = alone_s[1:], to_gpu_s[1:], costs[1:]  # the first pair warms up
    ratios = [b / a for a, b in zip(alone_s, to_gpu_s, strict=True)]
    ratio = median(to_gpu_s) / median(alone_s)
    yield [concurrency, _spread(alone_s), _spread(to_gpu_s), f"{ratio:.3f}", _spread(ratios),
           _spread(costs)]  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    sys.exit(main())
