"""rclone beside other tools: with equal settings and as they come, over TLS and emulated links.

    python -m bench.tools [--short] [--links 10ms 80ms 150ms] [--sizes 200MiB 1GiB 1000x1MiB]
                          [--tools rclone s5cmd …] [--blocks 6] [--unkind] [--output FOLDER]
                          [--fresh] [--write]

Exit codes: 0 measured, 1 a transfer failed or is void, 77 where no link can be made here, or there
is no nginx.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from bench import leaving, quiet, written
from bench.link import Link, NoLinkError
from bench.settings import tls
from bench.stored import Stored
from bench.tools import by_link, cases, picture, table
from bench.tools.measure import Options, measure
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.tools import TOOLS
from hps.tools.base import Installed
from hps.units import format_time

HEADING = "Tools on equal terms"
UNKIND_HEADING = "Tools where requests fail"
_OUTPUT = Path("build/bench/tools")
_FILE, _RAW = "blocks.jsonl", "tools.jsonl"
_DOCS = Path("docs")
_FULL = {"links": ["10ms", "80ms", "150ms"], "sizes": ["200MiB", "1GiB", "1000x1MiB"], "blocks": 6}
_SHORT = {"links": ["10ms"], "sizes": ["64MiB"], "blocks": 1}


def main() -> int:
    """Measure what is not stored yet, print the tables."""
    options = _options()
    chosen = cases.choose(options.links, options.sizes, options.blocks, unkind=options.unkind)
    _check_place(chosen)
    quiet.check_before(options.write)
    found = {name: TOOLS[name].find(os.environ) for name in cases.NAMES if name in options.tools}
    tools = {name: one.version for name, one in found.items() if isinstance(one, Installed)}
    missing = {name: one.why for name, one in found.items() if not isinstance(one, Installed)}
    measured = _measure(chosen, tools, options)
    tables = (by_link.text(measured, tools), table.text(measured, tools, missing))
    text = "\n\n".join([written.machine(), *filter(None, tables)])
    heading = UNKIND_HEADING if options.unkind else HEADING
    print(f"## {heading}\n\n{text}")
    failed = [line for one in measured for line in table.failures(*one, list(tools))]
    if options.write and not failed:
        _publish(heading, text, measured, tools, options)
    for line in failed:
        _tell(f"failed: {line}")
    if options.write and failed:
        _tell("nothing was published: measure these again on a machine that does nothing else")
    return EXIT_OPERATION_FAILED if failed else EXIT_OK


def _publish(
    heading: str,
    text: str,
    measured: Sequence[tuple[cases.Case, list[table.Data]]],
    tools: dict[str, str],
    options: argparse.Namespace,
) -> None:
    """The tables, and of what is no finding about failures all transfers and the picture, too."""
    written.write(heading, text)
    if options.unkind:
        return
    written.write_raw(_RAW, by_link.entries(measured, tools))
    for path in picture.draw(measured, list(tools), _DOCS):
        _tell(f"drawn: {path}")


def _measure(
    chosen: Sequence[cases.Case], tools: dict[str, str], options: argparse.Namespace
) -> list[tuple[cases.Case, list[table.Data]]]:
    stored = Stored(options.output / _FILE, fresh=options.fresh, undisturbed=options.write)
    tries = quiet.TRIES if options.write else 1
    how = Options(tools=tools, seed=options.seed, output=options.output, tries=tries)
    measured = []
    for number, case in enumerate(chosen):
        _tell(f"{number + 1}/{len(chosen)} {case.name}, {_left(chosen[number:], len(tools))}")
        measured.append((case, measure(case, how, stored, _tell)))
    return measured


def _check_place(chosen: Sequence[cases.Case]) -> None:
    """What can't be measured here is said at once, and not after what can."""
    try:
        tls.check()
    except tls.NoTlsError as error:
        raise NoLinkError(error.message, error.hint) from error
    link = next((link for case in chosen if (link := cases.LINKS[case.link]) is not None), None)
    if link is not None:
        with Link(link):
            return


def _left(rest: Sequence[cases.Case], tools: int) -> str:
    seconds = sum(case.blocks * case.block_s(tools) for case in rest)
    ends_at = datetime.now().astimezone() + timedelta(seconds=seconds)
    return f"at most about {format_time(seconds)} to go, until {ends_at:%H:%M}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tools", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--short", action="store_true", help="64 MiB over one link, one block")
    add("--links", nargs="+", metavar="LINK", help=f"of {', '.join(cases.LINKS)}")
    add("--sizes", nargs="+", metavar="SIZE", help="200MiB, or 1000x1MiB for so many files")
    add("--tools", nargs="+", choices=cases.NAMES, default=list(cases.NAMES), metavar="TOOL",
        help=f"of {', '.join(cases.NAMES)} (default: all that are here)")  # fmt: skip
    add("--blocks", type=int, help="how often each tool has a turn (default: 6)")
    add("--unkind", action="store_true", help="answer one in a hundred requests by 503")
    add("--seed", type=int, default=0, help="of the order within blocks (default: 0)")
    add("--output", type=Path, default=_OUTPUT, metavar="FOLDER",
        help=f"where results are stored, and blocks found again (default: {_OUTPUT})")  # fmt: skip
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--write", action="store_true",
        help="tables into RESULTS.md, transfers into raw/, a picture into docs/")  # fmt: skip
    options = parser.parse_args()
    if options.blocks is not None and options.blocks < 1:
        parser.error("--blocks: at least 1")
    for name, value in (_SHORT if options.short else _FULL).items():
        setattr(options, name, getattr(options, name) or value)
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
