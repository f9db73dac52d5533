"""Thousands of operations in a row: what `hps` and its helpers hold must not grow with them.

    python -m bench.soak [--short] [--operations 6000] [--every 8] [--write]

A run against the embedded target is looked at from outside, as it ends every few operations: the
memory, open files and threads of `hps`, of its guard, of the daemon that sends results, and of the
embedded server; the processes of the run, and its temporary folder. Exit codes: 0 all is flat,
1 something grows, was left behind or failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import leaving, written
from bench.soak import table
from bench.soak.growth import growths
from bench.soak.run import STEPS_OF_A_TRIAL, soak
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED

HEADING = "Soak"
_FULL, _SHORT = 6000, 200
_FEWEST = 128


def main() -> int:
    """Run, look, print the table; 1 where something grows."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="hps-soak-") as name:
        soaked = soak(options.operations, options.every, Path(name), {})
    found = growths(soaked.samples)
    text = f"{written.machine()} {table.text(soaked, found)}"
    print(f"## {HEADING}\n\n{text}")
    if options.write:
        written.write(HEADING, text)
    bad = soaked.left_behind or any(growth.grows for growth in found)
    return EXIT_OPERATION_FAILED if bad else EXIT_OK


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--short", action="store_true", help=f"{_SHORT} operations")
    add("--operations", type=_count, help=f"at least {_FEWEST} (default: {_FULL})")
    add("--every", type=int, default=2 * STEPS_OF_A_TRIAL, help="operations between looks")
    add("--write", action="store_true", help=f"the table into {written.RESULTS.name}")
    options = parser.parse_args()
    options.operations = options.operations or (_SHORT if options.short else _FULL)
    if not 1 <= options.every <= options.operations // 16:
        parser.error("--every: at least 1, and so that there are 16 looks")
    return options


def _count(text: str) -> int:
    if (number := int(text)) < _FEWEST:
        raise argparse.ArgumentTypeError(f"at least {_FEWEST}")
    return number


if __name__ == "__main__":
    sys.exit(leaving.told(main))
