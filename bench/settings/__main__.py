"""What the settings are worth: published commands, declared cell and the best of a sweep, per link.

    python -m bench.settings [--short | --grid] [--wide] [--blocks 6]
                             [--output FOLDER] [--fresh] [--write] [--picture FOLDER]

One link at a time. A transfer during which this machine had less than a quarter of a processor idle
is void, and its block is repeated; nothing is published with a void one in it.

Exit codes: 0 measured, 1 a transfer failed or is void, 5 nginx is missing, 77 where no link can be
made here.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import leaving, quiet, written
from bench.node_run import versions
from bench.settings import by_distance, by_queue, cases, picture, table
from bench.settings.measure import EXPERIMENT, measure, tell
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
    again = options.write and not options.stored
    stored = Stored(options.output / _FILE, fresh=options.fresh, undisturbed=again)
    told = versions()
    keys = {case: {**case.key(options.blocks, options.seed), **told} for case in chosen}
    missing = [case for case in chosen if stored.find(keys[case]) is None]
    quiet.check_before(again and bool(missing))
    have = len(chosen) - len(missing)
    tell(f"{len(chosen)} links, {have} of them stored; {_left(missing, options)}")
    for case, entry in _measured([] if options.stored else missing, options):
        stored.add({**entry, "case": keys[case]})
        missing.remove(case)
        tell(f"{case.name}: measured; {_left(missing, options)}")
    found = [stored.find(key) for key in keys.values()]
    return _report([entry for entry in found if entry is not None], len(chosen), options)


def _measured(
    missing: Sequence[cases.Case], options: argparse.Namespace
) -> Iterator[tuple[cases.Case, Mapping[str, Any]]]:
    for case in tuple(missing):
        yield (
            case,
            measure(
                case,
                blocks=options.blocks,
                seed=options.seed,
                output=options.output,
                tell=tell,
            ),
        )


def _report(measured: Sequence[Any], links: int, options: argparse.Namespace) -> int:
    part = "" if len(measured) == links else f" {len(measured)} of {links} links are measured."
    made = (by_queue, by_distance, table)
    tables = [one.text(measured) for one in made] if measured else []
    text = "\n\n".join([f"{written.machine()}{part}", *filter(None, tables)])
    print(f"## {HEADING}\n\n{text}")
    failed = table.failures(measured)
    if options.write and not failed:
        written.write(HEADING, text)
        written.write_raw(_FILE, measured)
    if options.picture is not None:
        for path in picture.draw(measured, options.picture):
            tell(f"drawn: {path}")
    tell(f"results as of a fleet: hps compare {options.output / EXPERIMENT} --strata rtt")
    for line in failed:
        tell(f"failed: {line}")
    if options.write and failed:
        tell("nothing was published: measure these again on a machine that does nothing else")
    return EXIT_OPERATION_FAILED if failed else EXIT_OK


def _cases(options: argparse.Namespace) -> list[cases.Case]:
    if options.short:
        return cases.short()
    return (cases.whole_grid if options.grid else cases.chosen)(wide=options.wide)


def _left(rest: Sequence[cases.Case], options: argparse.Namespace) -> str:
    seconds = options.blocks * sum(case.block_s() for case in rest)
    ends_at = datetime.now().astimezone() + timedelta(seconds=seconds)
    return f"about {format_time(seconds)} to go, until {ends_at:%H:%M}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.settings", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="two links and few settings")
    form.add_argument("--grid", action="store_true", help="every link of the grid: many hours")
    add("--wide", action="store_true", help="more streams and chunk sizes: three times as long")
    add("--blocks", type=int, default=6, help="how often each setting runs (default: 6)")
    add("--seed", type=int, default=0, help="of the order (default: 0)")
    add("--output", type=Path, default=_OUTPUT, metavar="FOLDER",
        help=f"where results are stored, and found again (default: {_OUTPUT})")  # fmt: skip
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--stored", action="store_true", help="measure nothing, only print what is stored")
    add(
        "--write",
        action="store_true",
        help="tables into RESULTS.md, transfers into raw/",
    )
    add("--picture", type=Path, metavar="FOLDER", help=f"draw {picture.NAME}.svg and .png")
    options = parser.parse_args()
    if options.blocks < _LEAST_BLOCKS:
        parser.error("--blocks: at least 1")
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
