"""How the time and memory of plans and journals grow with their length.

    python -m bench.scale_plans [--most 100000] [--output FOLDER] [--write]

Plans: `hps plan --format json`, as a process of its own. Journals: as many real results, appended
one by one as a run does it, read back, and summarized as at the end of a run; each part is a
process of its own too. Memory is the kernel's high-water mark of what a process held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench import leaving, written
from hps.analyze.summary import summarize
from hps.errors import EXIT_OK, HpsError, MachineError
from hps.report import table
from hps.spec.cells_check import MAX_OPERATIONS
from hps.store import journal

HEADING = "Scale: plans and journals"
_FEWEST = 100
_MOST = 100_000
# Starting Python is most of a short plan, and takes longer the first time.
_SHORT, _SHORT_TIMES = 10_000, 3
_STEPS = 2
_STREAMS = 10
_TIMEOUT_S = 3600.0
_POLL_S = 0.005
_SPEC = """\
api: hps/v1
name: scale
targets: {{local: {{provider: embedded}}}}
matrix:
  size: {{range: {{from: 200MiB, to: {last_mib}MiB, step: 1MiB}}}}
  concurrency: {{range: {{from: 1, to: {streams}}}}}
repetitions: {repetitions}
order: {{kind: random_blocks, seed: 1}}
steps: [upload, download]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was done to `records` operations or results took."""

    records: int
    seconds: float
    peak_bytes: int


def main() -> int:
    """Measure and print; or, as a child, do one part with one journal."""
    options = _options()
    if options.part:
        print(json.dumps(_do(options.part, options.records, options.journal, options.sample)))
        return EXIT_OK
    counts = _counts(options.most)
    with tempfile.TemporaryDirectory(prefix="hps-bench-", dir=options.output) as name:
        folder = Path(name)
        text = "\n\n".join((written.machine(), _plans(counts, folder), _journals(counts, folder)))
    print(f"## {HEADING}\n\n{text}")
    if options.write:
        written.write(HEADING, text)
    return EXIT_OK


def spec_text(operations: int) -> str:
    """An experiment of so many operations, a multiple of 100: sizes x 10 x repetitions x 2."""
    repetitions = 1 if operations < 1000 else 5
    sizes = operations // (_STEPS * _STREAMS * repetitions)
    return _SPEC.format(last_mib=200 + sizes - 1, streams=_STREAMS, repetitions=repetitions)


def growth(costs: Sequence[Cost]) -> str:
    """A line for each length. `more`: milliseconds for each one more than in the line before."""
    base = costs[0].seconds / costs[0].records
    more = ["", *(f"{_more_ms(before, after):.3f}" for before, after in pairwise(costs))]
    rows = [
        [
            f"{cost.records:,}",
            f"{cost.seconds:.2f}",
            f"{1000 * cost.seconds / cost.records:.3f}",
            f"{cost.seconds / cost.records / base:.2f}",
            extra,
            f"{cost.peak_bytes / 1024**2:.0f}",
        ]
        for cost, extra in zip(costs, more, strict=True)
    ]
    headers = ["length", "s", "ms each", "relative to the shortest", "ms each one more",
               "peak, MiB"]  # fmt: skip
    return tabulate(
        rows,
        headers=headers,
        tablefmt="github",
        disable_numparse=True,
        colalign=["right"] * len(headers),
    )


def _more_ms(before: Cost, after: Cost) -> float:
    return 1000 * (after.seconds - before.seconds) / (after.records - before.records)


def _counts(most: int) -> list[int]:
    allowed = min(most, MAX_OPERATIONS)
    if allowed < most:
        print(f"an experiment has at most {allowed:,} operations", file=sys.stderr)
    counts = [_FEWEST]
    while counts[-1] * 10 <= allowed:
        counts.append(counts[-1] * 10)
    return counts


def _plans(counts: Sequence[int], folder: Path) -> str:
    costs = []
    for count in counts:
        _tell(f"a plan of {count:,} operations")
        times = _SHORT_TIMES if count <= _SHORT else 1
        costs.append(min((_plan(count, folder) for _ in range(times)), key=_seconds))
    return (
        "`hps plan --format json`, start of the process included; sizes x 10 concurrencies x 2 "
        f"steps, from 1,000 on 5 repetitions; up to {_SHORT:,} the quickest of {_SHORT_TIMES} (at "
        f"most {MAX_OPERATIONS:,} operations are allowed):\n\n{growth(costs)}"
    )


def _seconds(cost: Cost) -> float:
    return cost.seconds


def _plan(count: int, folder: Path) -> Cost:
    """Raises `HpsError` where the plan has another length."""
    spec, plan = folder / "spec.yaml", folder / "plan.json"
    spec.write_text(spec_text(count), encoding="utf-8")
    cost = _watched(["-m", "hps", "plan", str(spec), "--format", "json"], plan, count)
    planned = len(json.loads(plan.read_bytes())["operations"])
    if planned != count:
        raise HpsError(f"{count} operations were asked for and {planned} planned")
    return cost


def _watched(arguments: Sequence[str], out: Path, records: int) -> Cost:
    """A process whose memory is looked at every few milliseconds. Raises `MachineError`."""
    with out.open("wb") as stdout, tempfile.TemporaryFile() as stderr:
        started_s, peak_kib = time.monotonic(), 0
        child = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        try:
            while child.poll() is None and time.monotonic() - started_s < _TIMEOUT_S:
                peak_kib = max(peak_kib, _peak_kib(child.pid))
                time.sleep(_POLL_S)
            took_s = time.monotonic() - started_s
        finally:
            child.kill()
            code = child.wait(timeout=10)
        if code != EXIT_OK:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip()
            raise MachineError(f"{' '.join(arguments[:4])} ended with {code}:\n{said}")
    return Cost(records=records, seconds=took_s, peak_bytes=1024 * peak_kib)


def _peak_kib(pid: int | str) -> int:
    """The high-water mark of a process; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _journals(counts: Sequence[int], folder: Path) -> str:
    sample = _sample(folder)
    costs: dict[str, list[Cost]] = {part: [] for part in _PARTS}
    for count in counts:
        _tell(f"a journal of {count:,} results")
        path = folder / "journal.jsonl"
        for part, so_far in costs.items():
            so_far.append(_part(part, count, path, sample))
        size_bytes = path.stat().st_size / count
        path.unlink()
    tables = [f"{_SAYS[part]}:\n\n{growth(of_part)}" for part, of_part in costs.items()]
    return "\n\n".join((*tables, f"A result takes {size_bytes:,.0f} bytes of the journal."))


def _sample(folder: Path) -> Path:
    """The results of a small real run, which the journals repeat."""
    _tell("a run whose results are repeated")
    arguments = ["-m", "hps", "run", "experiments/quickstart.yaml", "--fresh", "--format", "json",
                 "--set", "data.size=16MiB", "--set", "repetitions=1"]  # fmt: skip
    sample = folder / "sample.jsonl"
    _watched([*arguments, "--output", str(folder / "results")], sample, 1)
    return sample


def _part(part: str, count: int, path: Path, sample: Path) -> Cost:
    answer = path.with_name("answer.json")
    _watched(
        ["-m", "bench.scale_plans", "--part", part, "--records", str(count),
         "--journal", str(path), "--sample", str(sample)],
        answer, count,
    )  # fmt: skip
    done: dict[str, Any] = json.loads(answer.read_bytes())
    return Cost(records=count, **done)


def _do(part: str, count: int, path: Path, sample: Path) -> dict[str, float]:
    """In a process of its own: its time, without starting, and the most memory it has held."""
    lines = sample.read_text(encoding="utf-8").splitlines()
    results = [record for line in lines if (record := json.loads(line))["kind"] == "result"]
    started_s = time.monotonic()
    _PARTS[part](path, count, results)
    seconds = time.monotonic() - started_s
    return {"seconds": seconds, "peak_bytes": 1024 * _peak_kib("self")}


def _append(path: Path, count: int, results: Sequence[Mapping[str, object]]) -> None:
    with journal.Journal(path) as opened:
        for number in range(count):
            repetition, place = divmod(number, len(results))
            fresh = {"operation_id": f"{number:012x}", "repetition": repetition}
            opened.append({**results[place], **fresh})


def _read(path: Path, count: int, _: object) -> None:
    read = sum(1 for _ in journal.read(path))
    if read != count:
        raise HpsError(f"{count} results were stored and {read} read back")


def _summarize(path: Path, count: int, _: object) -> None:
    records = journal.settled(journal.read(path))
    if len(records) != count:
        raise HpsError(f"{count} results were stored and {len(records)} are left")
    table.render(summarize(records))


_PARTS: Mapping[str, Callable[[Path, int, Sequence[Mapping[str, object]]], None]] = {
    "append": _append,
    "read": _read,
    "summarize": _summarize,
}
_SAYS: Mapping[str, str] = {
    "append": "Appending to a journal, each result synced to the disk",
    "read": "Reading it back, one result after the other",
    "summarize": "The table of a run: reading all, the last result of each operation, summaries",
}


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale_plans", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--most", type=int, default=_MOST, help=f"the greatest length (default: {_MOST:,})")
    add("--output", type=Path, metavar="FOLDER",
        help="for what is written meanwhile (default: that of TMPDIR)")  # fmt: skip
    add("--write", action="store_true", help=f"into {written.RESULTS.name}")
    add("--part", choices=_PARTS, help=argparse.SUPPRESS)
    add("--records", type=int, help=argparse.SUPPRESS)
    add("--journal", type=Path, help=argparse.SUPPRESS)
    add("--sample", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.most < _FEWEST:
        parser.error(f"--most: at least {_FEWEST}")
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
