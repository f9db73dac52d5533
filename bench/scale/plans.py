"""Plans of ever more operations: `hps plan --format json`, as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from bench.scale.costs import Cost, growth, tell, watched
from hps.errors import HpsError
from hps.spec.sweep import MAX_OPERATIONS

# Starting Python is most of a short plan, and takes longer the first time.
_SHORT, _SHORT_TIMES = 10_000, 3
_STEPS = 2
_STREAMS = 10
_SPEC = """\
api: hps/v1
name: scale
targets: {{local: {{provider: embedded}}}}
matrix:
  size: {{range: {{from: 200MiB, to: {last_mib}MiB, step: 1MiB}}}}
  concurrency: {{range: {{from: 1, to: {streams}}}}}
repetitions: {repetitions}
order: {{kind: random_blocks, seed: 1}}
steps: [upload, download]
"""


def spec_text(operations: int) -> str:
    """An experiment of so many operations, a multiple of 100: sizes x 10 x repetitions x 2."""
    repetitions = 1 if operations < 1000 else 5
    sizes = operations // (_STEPS * _STREAMS * repetitions)
    return _SPEC.format(last_mib=200 + sizes - 1, streams=_STREAMS, repetitions=repetitions)


def plans(counts: Sequence[int], folder: Path) -> str:
    costs = []
    for count in counts:
        tell(f"a plan of {count:,} operations")
        times = _SHORT_TIMES if count <= _SHORT else 1
        costs.append(min((_plan(count, folder) for _ in range(times)), key=attrgetter("seconds")))
    return (
        "`hps plan --format json`, start of the process included; sizes x 10 concurrencies x 2 "
        f"steps, from 1,000 on 5 repetitions; up to {_SHORT:,} the quickest of {_SHORT_TIMES} (at "
        f"most {MAX_OPERATIONS:,} operations are allowed):\n\n{growth(costs)}"
    )


def _plan(count: int, folder: Path) -> Cost:
    """Raises `HpsError` where the plan has another length."""
    spec, plan = folder / "spec.yaml", folder / "plan.json"
    spec.write_text(spec_text(count), encoding="utf-8")
    cost = watched(["-m", "hps", "plan", str(spec), "--format", "json"], plan, count)
    planned = len(json.loads(plan.read_bytes())["operations"])
    if planned != count:
        raise HpsError(f"{count} operations were asked for and {planned} planned")
    return cost
