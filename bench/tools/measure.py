"""What is measured: what each tool does on the wire, and then blocks of timed transfers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.link import LinkSettings
from bench.stored import Stored
from bench.tools import cases
from bench.tools.moving import Mover
from bench.tools.place import open_place
from bench.tools.tool import Terms, Tool
from hps import payload, process
from hps.tools import rclone

Tell = Callable[[str], None]
_IDLE_RUNS = 3
_CHECK_TIMEOUT_S = 180.0
_BASE_TIMEOUT_S, _SLOWER = 120.0, 8.0


def versions(tools: Sequence[Tool]) -> dict[str, str]:
    """What a stored block must have been measured with to count again."""
    return {tool.name: tool.version for tool in tools if tool.timed}


def check(tools: Sequence[Tool], terms: Terms, tell: Tell) -> list[dict[str, Any]]:
    """Each tool once on loopback, untimed; plain data, with what was seen `up` and `down`."""
    seen: list[dict[str, Any]] = []
    size_bytes = cases.check_bytes(terms)
    with open_mover(None, size_bytes, terms, tools[0], _CHECK_TIMEOUT_S) as mover:
        for tool in tools:
            tell(f"on the wire: {tool.name}")
            moved = mover.both_ways(tool, gathered=True)
            starts_s = [mover.idle_s(tool) for _ in range(_IDLE_RUNS)]
            entry = {"name": tool.name, "start_s": median(starts_s), "size_bytes": size_bytes}
            seen.append(entry | {way: asdict(done) for way, done in moved.items()})
    return seen


def compare(
    case: cases.Case,
    tools: Sequence[Tool],
    terms: Terms,
    *,
    seed: int,
    stored: Stored,
    tell: Tell,
) -> list[dict[str, Any]]:
    """All blocks of a case, those that are stored already as they are; plain data."""
    told = versions(tools)
    keys = [{**case.key(terms, block, seed), "tools": told} for block in range(case.blocks)]
    wanting = [number for number, key in enumerate(keys) if stored.find(key) is None]
    if wanting:
        timeout_s = _BASE_TIMEOUT_S + _SLOWER * case.transfer_s(terms)
        with open_mover(case.link, case.size_bytes, terms, tools[0], timeout_s) as mover:
            for block in wanting:
                tell(f"{case.name}: block {block + 1} of {case.blocks}")
                chosen = cases.order(list(told), case, block, seed)
                entry = _block(mover, {tool.name: tool for tool in tools}, chosen)
                stored.add({"case": keys[block], **entry})
    return [dict(stored.find(key) or {}) for key in keys]


def _block(mover: Mover, tools: dict[str, Tool], chosen: Sequence[str]) -> dict[str, Any]:
    before = mover.place.kernel_drops()
    transfers = []
    for name in chosen:
        moved = mover.both_ways(tools[name])
        transfers += [{"tool": name, "way": way, **asdict(moved[way])} for way in moved]
    return {"transfers": transfers, "kernel_drops": mover.place.kernel_drops() - before}


@contextlib.contextmanager
def open_mover(
    link: LinkSettings | None, size_bytes: int, terms: Terms, sender: Tool, timeout_s: float
) -> Iterator[Mover]:
    """Server, proxy and link are up, and the file is made, for the length of a `with` block."""
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-tools-")))
        guard.tell("remove", str(scratch))
        place = stack.enter_context(open_place(link, scratch, guard))
        shape = payload.Shape(size_bytes=size_bytes, files=1, content="random", layout="flat")
        made = payload.make(shape, scratch, rclone.find_binary(os.environ), guard)
        yield Mover(
            place=place,
            terms=terms,
            sender=sender,
            scratch=scratch,
            guard=guard,
            made=made,
            timeout_s=timeout_s,
        )
