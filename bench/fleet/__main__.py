"""A fleet like the published one, node after node, each over an emulated link of its own.

    python -m bench.fleet [--short] [--nodes 224] [--size 200] [--seed 1] [--output FOLDER]
                          [--fresh] [--write]

Exit codes: 0 done, 1 a node came to no end or an operation was not ok, 77 where no link can be
made here.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench import grid, leaving, quiet, written
from bench.fleet import table
from bench.fleet.bucket import Bucket
from bench.fleet.draw import Node, draw
from bench.fleet.gather import gather
from bench.fleet.measure import EXPERIMENT, expected_s, measure
from bench.link import LinkError
from bench.node_run import RunError, versions
from bench.stored import Stored
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED
from hps.units import format_time

HEADING = "A fleet like the published one"
_OUTPUT = Path("build/bench/fleet")
# Nodes, MiB, seed. The short form's seed is chosen: its 12 nodes have about the published means.
_FULL, _SHORT = (224, 200, 1), (12, 20, 238)


def main() -> int:
    """Run the nodes that are not stored yet; pull, compare, report; print the table."""
    options = _options()
    folder = options.output / f"{options.nodes}x{options.size}MiB-seed{options.seed}"
    if options.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    bucket = Bucket(root=(folder / "bucket").absolute())
    nodes = draw(options.nodes, options.seed)
    quiet.check_before(options.write)
    tries = quiet.TRIES if options.write else 1
    stored = Stored(folder / "nodes.jsonl", undisturbed=options.write)
    entries = _run_all(nodes, options.size, bucket, stored, tries)
    if not entries:
        return EXIT_OPERATION_FAILED
    gathered = gather(bucket, folder, _tell)
    text = f"{written.machine()}\n\n{table.text(nodes, entries, gathered.seen, options.size)}"
    print(f"{gathered.compared}\n\n## {HEADING}\n\n{text}")
    _tell(f"the page: {gathered.page}")
    void = [entry for entry in entries if entry["void"]]
    for entry in void:
        _tell(f"{entry['machine_id']}: {entry['void']}")
    if options.write and void:
        _tell("nothing was published: run these again on a machine that does nothing else")
    elif options.write:
        written.write(HEADING, text)
    good = len(entries) == len(nodes) and all(entry["outcome"] != "not ok" for entry in entries)
    return EXIT_OK if good else EXIT_OPERATION_FAILED


def case_of(node: Node, size_mib: int, told: Mapping[str, str]) -> dict[str, Any]:
    """What a stored node must have been, to count again."""
    drawn = {"rtt_ms": node.rtt_ms, "up_mbps": node.up_mbps, "down_mbps": node.down_mbps}
    return {"machine_id": node.machine_id, **drawn, "size_mib": size_mib, **told}


def find(case: Mapping[str, Any], bucket: Bucket, stored: Stored) -> Mapping[str, Any] | None:
    """A node's entry, where its results are in the bucket as well."""
    entry = stored.find(case)
    return entry if entry and bucket.journals(EXPERIMENT, case["machine_id"]) else None


def _run_all(
    nodes: Sequence[Node], size_mib: int, bucket: Bucket, stored: Stored, tries: int
) -> list[Mapping[str, Any]]:
    """The entries of all nodes that came to an end; one that did not leaves the others alone."""
    told = versions()
    cases = [case_of(node, size_mib, told) for node in nodes]
    found = [find(case, bucket, stored) for case in cases]
    left = _Left(nodes=[node for node, entry in zip(nodes, found, strict=True) if not entry],
                 size_bytes=size_mib * grid.MIB)  # fmt: skip
    if len(left.nodes) < len(nodes):
        _tell(f"{len(nodes) - len(left.nodes)} of {len(nodes)} nodes are stored already")
    entries = [entry for entry in found if entry]
    for node, case, entry in zip(nodes, cases, found, strict=True):
        if entry is None:
            _tell(f"{len(entries)}/{len(nodes)} nodes done, {left.text()}; {_name(node)}")
            done = _undisturbed(node, size_mib, bucket, tries)
            left.ended(node, done)
            if done is not None:
                stored.add({"case": case, **done})
                entries.append(done)
    return entries


def _undisturbed(node: Node, size_mib: int, bucket: Bucket, tries: int) -> dict[str, Any] | None:
    """Run again while a transfer of it is void and tries are left."""
    for _ in range(tries):
        done = _run(node, size_mib, bucket)
        if done is None or not done["void"]:
            break
    return done


def _run(node: Node, size_mib: int, bucket: Bucket) -> dict[str, Any] | None:
    """None where the node came to no end; what was told of it is on standard error."""
    try:
        done = measure(node, size_mib, bucket)
    except (RunError, LinkError) as error:
        if error.exit_code != EXIT_OPERATION_FAILED:
            raise  # a signal, or no link can be made at all
        _tell(f"{node.machine_id} came to no end: {error}")
        bucket.forget(EXPERIMENT, node.machine_id)
        return None
    _tell(f"  {done['outcome']} in {done['took_s']:.0f} s{'; ' * bool(done['void'])}{done['void']}")
    return done


class _Left:
    """The time that is left, from what is expected of a node and how wrong that was so far."""

    def __init__(self, nodes: Sequence[Node], size_bytes: int) -> None:
        self.nodes = nodes
        self._expected_s = {node.number: expected_s(node, size_bytes) for node in nodes}
        self._rest_s = sum(self._expected_s.values())
        self._done_s = self._took_s = 0.0

    def ended(self, node: Node, done: Mapping[str, Any] | None) -> None:
        self._rest_s -= self._expected_s[node.number]
        if done is not None:
            self._done_s += self._expected_s[node.number]
            self._took_s += done["took_s"]

    def text(self) -> str:
        scale = self._took_s / self._done_s if self._done_s else 1.0
        seconds = scale * self._rest_s
        ends_at = datetime.now().astimezone() + timedelta(seconds=seconds)
        return f"about {format_time(seconds)} left, until {ends_at:%H:%M}"


def _name(node: Node) -> str:
    link = node.link
    return (
        f"{node.machine_id}: {node.rtt_ms:g} ms, {link.up_mbps:g}/{link.down_mbps:g} Mbps up/down"
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fleet", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--short", action="store_true", help="{} nodes, {} MiB, seed {}".format(*_SHORT))
    add("--nodes", type=_count, help=f"how many (default: {_FULL[0]})")
    add("--size", type=_count, metavar="MIB", help=f"of the file (default: {_FULL[1]})")
    add("--seed", type=int, help=f"of the draw (default: {_FULL[2]})")
    add("--output", type=Path, default=_OUTPUT, metavar="FOLDER",
        help=f"where results are stored, and found again (default: {_OUTPUT})")  # fmt: skip
    add("--fresh", action="store_true", help="run again what is stored")
    add("--write", action="store_true", help=f"the table into {written.RESULTS.name}")
    options = parser.parse_args()
    nodes, size, seed = _SHORT if options.short else _FULL
    options.nodes, options.size = options.nodes or nodes, options.size or size
    options.seed = seed if options.seed is None else options.seed
    return options


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(leaving.told(main))
