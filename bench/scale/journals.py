"""Journals of ever more real results: appended one by one as a run does it, read, summarized.

Each part is a process of its own, which is this module run with `--part`. Memory is the kernel's
high-water mark of what the process held.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.scale.costs import Cost, growth, peak_kib, tell, watched
from hps.compare.summary import summarize
from hps.errors import EXIT_OK, HpsError
from hps.report import table
from hps.results import journal


def journals(counts: Sequence[int], folder: Path) -> str:
    sample = _sample(folder)
    costs: dict[str, list[Cost]] = {part: [] for part in _PARTS}
    for count in counts:
        tell(f"a journal of {count:,} results")
        path = folder / "journal.jsonl"
        for part, so_far in costs.items():
            so_far.append(_part(part, count, path, sample))
        size_bytes = path.stat().st_size / count
        path.unlink()
    tables = [f"{_SAYS[part]}:\n\n{growth(of_part)}" for part, of_part in costs.items()]
    return "\n\n".join((*tables, f"A result takes {size_bytes:,.0f} bytes of the journal."))


def _sample(folder: Path) -> Path:
    """The results of a small real run, which the journals repeat."""
    tell("a run whose results are repeated")
    arguments = ["-m", "hps", "run", "experiments/quickstart.yaml", "--fresh", "--format", "json",
                 "--set", "data.size=16MiB", "--set", "repetitions=1"]  # fmt: skip
    sample = folder / "sample.jsonl"
    watched([*arguments, "--output", str(folder / "results")], sample, 1)
    return sample


def _part(part: str, count: int, path: Path, sample: Path) -> Cost:
    answer = path.with_name("answer.json")
    watched(
        ["-m", "bench.scale.journals", "--part", part, "--records", str(count),
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
    return {"seconds": seconds, "peak_bytes": 1024 * peak_kib("self")}


def _append(path: Path, count: int, results: Sequence[Mapping[str, object]]) -> None:
    with journal.Journal(path) as opened:
        for number in range(count):
            repetition, place = divmod(number, len(results))
            fresh = {"operation_id": f"{number:012x}", "repetition": repetition}
            opened.append({**results[place], **fresh})


def _read(path: Path, count: int, _: object) -> None:
    read = sum(1 for _ in journal.read(path).records)
    if read != count:
        raise HpsError(f"{count} results were stored and {read} read back")


def _summarize(path: Path, count: int, _: object) -> None:
    records = journal.latest(journal.read(path).records)
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


def main() -> int:
    """One part, as a child of its own."""
    parser = argparse.ArgumentParser(description="A part of `python -m bench.scale journals`.")
    parser.add_argument("--part", choices=_PARTS, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--sample", type=Path, required=True)
    options = parser.parse_args()
    print(json.dumps(_do(options.part, options.records, options.journal, options.sample)))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
