"""How time and memory grow with the length of plans and journals, and with what is stored.

    python -m bench.scale [plans] [journals] [compare] [--most N] [--folder FOLDER] [--write]
    python -m bench.scale --fleet [--nodes N] [--folder FOLDER]

Without a part all three, and no fleet. Exit codes: 0 done, 1 a part failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import leaving, written
from bench.scale.compare import compare
from bench.scale.fleet import simulate
from bench.scale.journals import journals
from bench.scale.plans import plans
from hps.errors import EXIT_OK

_FEWEST = 100
_FEWEST_NODES = 5
_MOST: Mapping[str, int] = {"plans": 100_000, "journals": 100_000, "compare": 1_000_000}


def main() -> int:
    """Measure the parts that are asked for, print their tables, and store them if wanted."""
    options = _options()
    if options.fleet:
        with tempfile.TemporaryDirectory(prefix="hps-bench-", dir=options.folder) as name:
            print(
                f"## Scale: fleet\n\n{written.machine()}\n\n{simulate(options.nodes, Path(name))}"
            )
        return EXIT_OK
    for part in options.parts or _MOST:
        text = f"{written.machine()}\n\n{_measured(part, options)}"
        print(f"## Scale: {part}\n\n{text}\n", flush=True)
        if options.write:
            written.write(f"Scale: {part}", text)
    return EXIT_OK


def _measured(part: str, options: argparse.Namespace) -> str:
    most = min(options.most or _MOST[part], _MOST[part])
    if part == "compare":
        return compare(most, options.folder)
    with tempfile.TemporaryDirectory(prefix="hps-bench-", dir=options.folder) as name:
        return _BY_LENGTH[part](_lengths(most), Path(name))


_BY_LENGTH: Mapping[str, Callable[[list[int], Path], str]] = {"plans": plans, "journals": journals}


def _lengths(most: int) -> list[int]:
    lengths = [_FEWEST]
    while lengths[-1] * 10 <= most:
        lengths.append(lengths[-1] * 10)
    return lengths


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="plans, journals, compare (default: all)")
    most = "the greatest length (default: 100,000, and 1,000,000 results to compare)"
    add("--most", type=int, metavar="N", help=most)
    folder = "for what is written meanwhile; results to compare stay there"
    add("--folder", type=Path, help=folder)
    add("--write", action="store_true", help=f"put the tables into {written.RESULTS.name}")
    add("--fleet", action="store_true", help="a fleet that shares an experiment, in place of parts")
    add("--nodes", type=int, default=1000, metavar="N", help="of the fleet (default: 1,000)")
    options = parser.parse_args()
    if options.nodes < _FEWEST_NODES:
        parser.error(f"--nodes: at least {_FEWEST_NODES}")
    if options.fleet and (options.parts or options.write):
        parser.error("--fleet is measured alone, and not written down")
    unknown = sorted({*options.parts} - {*_MOST})
    if unknown:
        parser.error(f"PART: {', '.join(_MOST)}, not '{unknown[0]}'")
    if options.most is not None and options.most < _FEWEST:
        parser.error(f"--most: at least {_FEWEST}")
    return options


if __name__ == "__main__":
    sys.exit(leaving.told(main))
