"""What `hps` reports against what the link, a recording proxy and the kernel saw.

    python -m bench.truth [--short] [--output FILE] [--fresh] [--write]

Exit codes: 0 all is as reported, 1 something is off or failed, 77 where no link can be made here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import leaving, quiet, written
from bench.node_run import versions
from bench.stored import Stored
from bench.truth import cases, table
from bench.truth.measure import measure
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.units import format_time

HEADING = "Ground truth"
_OUTPUT = Path("build/bench/truth.jsonl")


def main() -> int:
    """Measure what is not stored yet, print the tables, say what is off."""
    options = _options()
    chosen = cases.short() if options.short else cases.full()
    quiet.check_before(options.write)
    stored = Stored(options.output, fresh=options.fresh, undisturbed=options.write)
    told = versions()
    measured = []
    for number, case in enumerate(chosen, 1):
        key = {**case.key, **told}
        entry = stored.find(key)
        state = "is stored" if entry else f"takes about {format_time(case.expected_s + 15)}"
        print(f"{number}/{len(chosen)} {case.name}: {state}", file=sys.stderr, flush=True)
        if entry is None:
            entry = {**_undisturbed(case, quiet.TRIES if options.write else 1), "case": key}
            stored.add(entry)
        measured.append(entry)
    text = f"{written.machine()}\n\n{table.text(measured)}"
    print(f"## {HEADING}\n\n{text}")
    off, void = table.what_is_off(measured), table.what_is_void(measured)
    if options.write and not (off or void):
        written.write(HEADING, text)
    for line in (*(f"off: {one}" for one in off), *void):
        print(line, file=sys.stderr)
    if options.write and (off or void):
        print("nothing was published", file=sys.stderr)
    return EXIT_OPERATION_FAILED if off or void else EXIT_OK


def _undisturbed(case: cases.Case, tries: int) -> Mapping[str, Any]:
    """Measured again while a transfer of it is void and tries are left."""
    for _ in range(tries):
        entry = measure(case)
        if not entry["void"]:
            break
        print(f"the machine was busy: {entry['void'][0]}", file=sys.stderr, flush=True)
    return entry


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.truth", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--short", action="store_true", help="two links only")
    parser.add_argument(
        "--output", type=Path, default=_OUTPUT, metavar="FILE",
        help=f"where cases are stored, and found again (default: {_OUTPUT})",
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="measure again what is stored")
    parser.add_argument("--write", action="store_true", help=f"into {written.RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(leaving.told(main))
