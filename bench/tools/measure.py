"""A case, block by block: `hps run` does each, and what it stored is judged by what was idle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import quiet
from bench.node_run import Record, run_hps
from bench.stored import Stored
from bench.tools.cases import EQUAL, LINKS, OWN, Case
from bench.tools.place import Place, open_place
from hps.model import DEFAULT

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is the same for all cases. `tools`: names and versions; `tries` of a block."""

    tools: Mapping[str, str]
    seed: int
    output: Path
    tries: int


def measure(case: Case, options: Options, stored: Stored, tell: Tell) -> list[Mapping[str, Any]]:
    """All blocks of a case, those that are stored already as they are; plain data."""
    keys = [case.key(options.tools, block, options.seed) for block in range(case.blocks)]
    missing = [block for block, key in enumerate(keys) if stored.find(key) is None]
    if missing:
        with tempfile.TemporaryDirectory(prefix="hps-tools-") as scratch:
            folder = Path(scratch)
            with open_place(LINKS[case.link], folder, unkind=case.unkind) as place:
                for block in missing:
                    tell(f"{case.name}: block {block + 1} of {case.blocks}")
                    done = _block(case, block, options, place, folder, tell)
                    stored.add({"case": keys[block], **done})
    return [entry for key in keys if (entry := stored.find(key)) is not None]


def _block(
    case: Case, block: int, options: Options, place: Place, scratch: Path, tell: Tell
) -> dict[str, Any]:
    """On loopback the tools take all that there is: nothing is void there."""
    run = partial(_run, case, block, options, place, scratch)
    before = place.kernel_drops()
    if place.link is None:
        transfers = [{**one, "void": False} for one in run(0)]
    else:
        with quiet.watching(place.link.counters) as watch:
            busy = partial(tell, "it was busy here")
            transfers = quiet.undisturbed(run, watch, busy, tries=options.tries)
    return {"transfers": transfers, "kernel_drops": place.kernel_drops() - before}


def _run(
    case: Case, block: int, options: Options, place: Place, scratch: Path, attempt: int
) -> list[dict[str, Any]]:
    """Every tool once, told and not told: its results are stored as those of a node of a fleet."""
    spec = scratch / "tools.yaml"
    # Another order for each block and try.
    seed = options.seed + 1000 * block + attempt
    spec.write_text(case.text(place.target, list(options.tools), seed), encoding="utf-8")
    node = f"block-{block + 1}"
    shutil.rmtree(options.output / case.experiment / node, ignore_errors=True)
    ran = run_hps(
        place.link,
        spec,
        output=options.output,
        env={**place.env, "TMPDIR": str(scratch), "SALAD_MACHINE_ID": node},
        scratch=scratch,
        timeout_s=case.timeout_s(len(options.tools)),
    )
    return [transfer(record) for record in ran.moved()]


def transfer(record: Record) -> dict[str, Any]:
    """What the tables take from a line of results."""
    status, cell = record["status"], record["cell"]
    why = "" if status == "ok" else f"{status}: {record['reason']}"
    kept = ("status", "reason", "started_at", "duration_s", "first_payload_s", "cpu_s",
            "peak_memory_bytes", "retries", "observed")  # fmt: skip
    return {
        **{name: record[name] for name in kept},
        "tool": cell["tool"],
        "mbps": record["throughput_mbps"],
        "terms": OWN if cell.get("settings") == DEFAULT else EQUAL,
        "way": "up" if record["step"] == "upload" else "down",
        "why": why,
    }
