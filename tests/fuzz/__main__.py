"""`python -m tests.fuzz --seconds 600`: mutate experiments for a time, and say what was found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaign import SEED, run


def main() -> int:
    """Returns 1 where something was found; each input is kept in the folder `--keep`."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: 600)")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="at most so many")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: the CPUs)")
    parser.add_argument("--seed", type=int, default=None, help="of the first (default: drawn)")
    parser.add_argument("--same", action="store_true", help=f"the seed of CI, {SEED}")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for finds")
    given = parser.parse_args()
    seed = SEED if given.same else given.seed
    done = run(seconds=given.seconds, inputs=given.inputs, workers=given.workers, seed=seed)
    print(done.summary())
    for find in done.finds:
        place = find.keep(given.keep)
        print(f"\n{place}\n{find.what}")
    return 1 if done.finds else 0


if __name__ == "__main__":
    sys.exit(main())
