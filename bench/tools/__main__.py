"""rclone against other S3 tools, with equal chunk size and concurrency, over emulated links.

    python -m bench.tools [--short] [--links 10ms 80ms 150ms] [--sizes 200MiB 1GiB] [--blocks 3]
                          [--venv FOLDER] [--aws PROGRAM] [--output FILE] [--fresh] [--write]

Exit codes: 0 measured, 1 a transfer failed or a tool did not do what it was told, 77 where no link
can be made here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from bench import leaving, quiet, written
from bench.link import Link
from bench.stored import Stored
from bench.tools import cases, programs, table
from bench.tools.catalogue import tools
from bench.tools.findings import Findings
from bench.tools.measure import check, compare
from bench.tools.tool import Terms
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.units import format_time, parse_size_bytes

HEADING = "Tools on equal terms"
_OUTPUT = Path("build/bench/tools.jsonl")
_FULL = {"links": ["10ms", "80ms", "150ms"], "sizes": ["200MiB", "1GiB"], "chunk": "10MiB"}
_SHORT = {"links": ["10ms"], "sizes": ["64MiB"], "chunk": "5MiB"}


def main() -> int:
    """Install, look at each tool on the wire, measure what is not stored yet, print the tables."""
    options = _options()
    terms = Terms(chunk_bytes=parse_size_bytes(options.chunk), concurrency=options.concurrency)
    sizes_bytes = [parse_size_bytes(size) for size in options.sizes]
    cases.check_terms(terms, sizes_bytes)
    chosen = cases.choose(options.links, sizes_bytes, options.blocks, everywhere=options.everywhere)
    _check_link(chosen)
    quiet.check_before(options.write)
    venv = options.venv.absolute()
    programs.install(venv, _tell)
    installed = programs.find(venv, options.aws)
    found = _measure(chosen, terms, installed, options)
    text = f"{written.machine()}\n\n{table.text(found, installed.missing)}"
    print(f"## {HEADING}\n\n{text}")
    failed = list(found.failures())
    if options.write and not failed:
        written.write(HEADING, text)
    for line in failed:
        _tell(f"failed: {line}")
    if options.write and failed:
        _tell("nothing was published")
    return EXIT_OPERATION_FAILED if failed else EXIT_OK


def _measure(
    chosen: Sequence[cases.Case],
    terms: Terms,
    installed: programs.Programs,
    options: argparse.Namespace,
) -> Findings:
    listed = tools(installed)
    stored = Stored(options.output, fresh=options.fresh, undisturbed=options.write)
    checks = check(listed, terms, _tell)
    measured = []
    for number, case in enumerate(chosen):
        left = _left(chosen[number:], terms, sum(tool.timed for tool in listed))
        _tell(f"{number + 1}/{len(chosen)} {case.name}, {left}")
        blocks = compare(
            case,
            listed,
            terms,
            seed=options.seed,
            stored=stored,
            tell=_tell,
            tries=quiet.TRIES if options.write else 1,
        )
        measured.append((case, blocks))
    return Findings(terms=terms, tools=listed, checks=checks, measured=measured)


def _check_link(chosen: Sequence[cases.Case]) -> None:
    """Where no link can be made it is said at once, and not after what needs none."""
    link = next((case.link for case in chosen if case.link is not None), None)
    if link is not None:
        with Link(link):
            return


def _left(rest: Sequence[cases.Case], terms: Terms, count: int) -> str:
    seconds = sum(case.blocks * case.block_s(terms, count) for case in rest)
    ends_at = datetime.now().astimezone() + timedelta(seconds=seconds)
    return f"at most about {format_time(seconds)} to go, until {ends_at:%H:%M}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tools", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--short", action="store_true", help="one link, 64 MiB, chunks of 5 MiB")
    add("--links", nargs="+", metavar="LINK", help=f"of {', '.join(cases.LINKS)}")
    add("--sizes", nargs="+", metavar="SIZE", help="of the files: 200MiB 1GiB")
    add("--blocks", type=int, default=3, help="how often each tool has a turn (default: 3)")
    add("--everywhere", action="store_true",
        help="large files on every link in all blocks, not on the first in a third")  # fmt: skip
    add("--chunk", metavar="SIZE", help="of parts and ranges (default: 10MiB)")
    add("--concurrency", type=int, default=10, help="chunks in flight (default: 10)")
    add("--seed", type=int, default=0, help="of the order within blocks (default: 0)")
    add("--venv", type=Path, default=programs.VENV, metavar="FOLDER",
        help=f"where tools are installed, and found again (default: {programs.VENV})")  # fmt: skip
    add("--aws", metavar="PROGRAM", help="an AWS CLI 2 (default: the aws on PATH, if it is one)")
    add("--output", type=Path, default=_OUTPUT, metavar="FILE",
        help=f"where blocks are stored, and found again (default: {_OUTPUT})")  # fmt: skip
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--write", action="store_true", help=f"the tables into {written.RESULTS.name}")
    options = parser.parse_args()
    if options.blocks < 1:
        parser.error("--blocks: at least 1")
    for name, value in (_SHORT if options.short else _FULL).items():
        setattr(options, name, getattr(options, name) or value)
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
