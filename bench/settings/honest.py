"""The highest rate at which this machine carries emulator, server and tool, and has time to spare.

    python -m bench.settings.honest [--rates 100 200 …] [--write]

On a near link, where packets are most in a second: the published commands, and one, four and ten
streams of `hps run`, each way. Above the last rate at which no transfer is void, nothing that is
measured here is published. Exit codes: 0 measured, 1 even the lowest rate is too much or a transfer
failed, 77 where no link can be made here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import grid, leaving, quiet, written
from bench.settings import table
from bench.settings.cases import DECLARED_BYTES, Case, Setting
from bench.settings.measure import measure, tell
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED

HEADING = "The highest honest rate"
_RTT_MS = 10
_RATES_MBPS = (100, 300, 600)
_STREAMS = (1, 4, 10)
_LEAST_S = 4.0
_HEADERS = ("link, Mbps", "", "ran", "Mbps", "of link", "idle", "late, ms", "")
_NOTE = (
    "Round trip {rtt} ms, both ways alike. Idle: of {cores} processors while the transfer ran, "
    "{least} of one are needed. Late: how long after their time packets left the link, as a mean, "
    "{late:g} ms at most."
)


def main() -> int:
    """Measure each rate until one is too high, print the table."""
    options = _options()
    quiet.check_before(options.write)
    found: dict[float, Sequence[dict[str, Any]]] = {}
    for mbps in sorted(options.rates):
        found[mbps] = _transfers(mbps)
        if _why_not(found[mbps]):
            break
    text = f"{written.machine()} {sentence(found)}\n\n{_table(found)}"
    print(f"## {HEADING}\n\n{text}")
    if options.write:
        written.write(HEADING, text)
    failed = any(one["why"] and not one["void"] for done in found.values() for one in done)
    return EXIT_OPERATION_FAILED if failed or highest(found) is None else EXIT_OK


def highest(found: dict[float, Sequence[dict[str, Any]]]) -> float | None:
    """The highest rate up to which no transfer is void or failed; None where the lowest has one."""
    best = None
    for mbps, done in sorted(found.items()):
        if _why_not(done):
            break
        best = mbps
    return best


def sentence(found: dict[float, Sequence[dict[str, Any]]]) -> str:
    """What follows from it."""
    best = highest(found)
    if best is None:
        return "Even the lowest rate is more than this machine can carry."
    return f"Nothing that was measured on links of more than {best:g} Mbps is published."


def _transfers(mbps: float) -> list[dict[str, Any]]:
    case = Case(
        link=grid.make(_RTT_MS, (mbps, mbps), 0.0, queue_rtts=1.0),
        size_bytes=_size_bytes(mbps),
        settings=tuple(Setting(chunk_bytes=DECLARED_BYTES, streams=count) for count in _STREAMS),
    )
    with tempfile.TemporaryDirectory(prefix="hps-honest-") as output:
        measured = measure(case, blocks=1, seed=0, output=Path(output), tell=tell, tries=1)
    transfers: list[dict[str, Any]] = measured["transfers"]
    return transfers


def _size_bytes(mbps: float) -> int:
    """Enough chunks for all streams, and for some seconds."""
    chunks = max(*_STREAMS, mbps * 1e6 / 8 * _LEAST_S / DECLARED_BYTES)
    return int(-(-chunks // 1)) * DECLARED_BYTES


def _why_not(done: Iterable[dict[str, Any]]) -> str:
    return next((one["why"] for one in done if one["why"]), "")


def _table(found: dict[float, Sequence[dict[str, Any]]]) -> str:
    rows = [_row(mbps, one) for mbps, done in sorted(found.items()) for one in done]
    note = _NOTE.format(
        rtt=_RTT_MS, cores=table.CORES, least=quiet.LEAST_IDLE_CORES, late=1000 * quiet.MOST_LATE_S
    )
    return f"{table.drawn(rows, _HEADERS)}\n\n{note}"


def _row(mbps: float, one: dict[str, Any]) -> list[str]:
    name = "published" if one["setting"] is None else Setting(**one["setting"]).name
    rate = one["mbps"]
    return [
        f"{mbps:g}",
        one["way"],
        name,
        "" if rate is None else f"{rate:.0f}",
        "" if rate is None else f"{100 * rate / (mbps * grid.PAYLOAD_SHARE):.0f} %",
        f"{one['idle_cores']:.2f}",
        f"{1000 * one['late_s']:.2f}",
        one["why"],
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.settings.honest", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--rates", nargs="+", type=float, default=_RATES_MBPS, metavar="MBPS", help="to try")
    add("--write", action="store_true", help=f"the table into {written.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(leaving.told(main))
