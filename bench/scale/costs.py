"""What something took, by its length, and how that grows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tabulate import tabulate

from hps.errors import EXIT_OK, MachineError

_TIMEOUT_S = 3600.0
_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was done to `records` operations or results took."""

    records: int
    seconds: float
    peak_bytes: int


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


def watched(arguments: Sequence[str], out: Path, records: int) -> Cost:
    """A process whose memory is looked at every few milliseconds. Raises `MachineError`."""
    with out.open("wb") as stdout, tempfile.TemporaryFile() as stderr:
        started_s, most_kib = time.monotonic(), 0
        child = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        try:
            while child.poll() is None and time.monotonic() - started_s < _TIMEOUT_S:
                most_kib = max(most_kib, peak_kib(child.pid))
                time.sleep(_POLL_S)
            took_s = time.monotonic() - started_s
        finally:
            child.kill()
            code = child.wait(timeout=10)
        if code != EXIT_OK:
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip()
            raise MachineError(f"{' '.join(arguments[:4])} ended with {code}:\n{said}")
    if not most_kib:
        raise MachineError(f"the memory of {arguments[0]} was never seen", "is /proc masked here?")
    return Cost(records=records, seconds=took_s, peak_bytes=1024 * most_kib)


def peak_kib(pid: int | str) -> int:
    """The high-water mark of a process; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def tell(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
