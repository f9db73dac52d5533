"""What the settings are worth: published commands, declared cell and the best of a sweep, per link.

    python -m bench.settings [--short | --grid] [--blocks 3] [--output FOLDER] [--fresh]
                             [--write] [--picture FOLDER]

Exit codes: 0 measured, 1 a transfer failed, 5 nginx is missing, 77 where no link can be made here.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import leaving, written
from bench.node_run import versions
from bench.settings import cases, picture, table
from bench.settings.measure import EXPERIMENT, measure
from bench.stored import Stored
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.units import format_time

HEADING = "What the settings are worth"
_OUTPUT = Path("build/bench/settings")
_FILE = "settings.jsonl"
_LEAST_BLOCKS = 1


def main() -> int:
    """Measure what is not stored yet, print the table, draw the picture."""
    options = _options()
    chosen = _cases(options)
    if options.fresh:
        shutil.rmtree(options.output / EXPERIMENT, ignore_errors=True)
    stored = Stored(options.output / _FILE, fresh=options.fresh)
    measured, told = [], versions()
    for number, case in enumerate(chosen, 1):
        key = {**case.key(options.blocks, options.seed), **told}
        entry = stored.find(key)
        if entry is None:
            _tell(f"{number}/{len(chosen)} {case.name}, {_left(chosen[number - 1 :], options)}")
            entry = measure(
                case, blocks=options.blocks, seed=options.seed, output=options.output, tell=_tell
            )
            entry["case"] = key
            stored.add(entry)
        else:
            _tell(f"{number}/{len(chosen)} {case.name}: is stored")
        measured.append(entry)
    return _report(measured, options)


def _report(measured: Sequence[Any], options: argparse.Namespace) -> int:
    text = f"{written.machine()}\n\n{table.text(measured)}"
    print(f"## {HEADING}\n\n{text}")
    if options.write:
        written.write(HEADING, text)
    if options.picture is not None:
        for path in picture.draw(measured, options.picture):
            _tell(f"drawn: {path}")
    _tell(f"results as of a fleet: hps compare {options.output / EXPERIMENT} --strata rtt")
    failed = table.failures(measured)
    for line in failed:
        _tell(f"failed: {line}")
    return EXIT_OPERATION_FAILED if failed else EXIT_OK


def _cases(options: argparse.Namespace) -> list[cases.Case]:
    if options.short:
        return cases.short()
    return cases.whole_grid() if options.grid else cases.chosen()


def _left(rest: Sequence[cases.Case], options: argparse.Namespace) -> str:
    seconds = options.blocks * sum(case.block_s() for case in rest)
    ends_at = datetime.now().astimezone() + timedelta(seconds=seconds)
    return f"about {format_time(seconds)} to go, until {ends_at:%H:%M}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.settings", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="two links and few settings")
    form.add_argument("--grid", action="store_true", help="every link, every setting: many hours")
    add("--blocks", type=int, default=3, help="how often each setting runs (default: 3)")
    add("--seed", type=int, default=0, help="of the order (default: 0)")
    add("--output", type=Path, default=_OUTPUT, metavar="FOLDER",
        help=f"where results are stored, and found again (default: {_OUTPUT})")  # fmt: skip
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--write", action="store_true", help=f"the table into {written.RESULTS.name}")
    add("--picture", type=Path, metavar="FOLDER", help=f"draw {picture.NAME}.svg and .png")
    options = parser.parse_args()
    if options.blocks < _LEAST_BLOCKS:
        parser.error("--blocks: at least 1")
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
