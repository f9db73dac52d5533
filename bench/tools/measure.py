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

from bench import quiet
from bench.link import LinkSettings
from bench.stored import Stored
from bench.tools import cases
from bench.tools.moving import Mover
from bench.tools.place import open_place
from bench.tools.tool import Terms, Tool
from hps.data import payload
from hps.data.shape import Shape
from hps.process import process
from hps.tools.rclone import command

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
    tries: int = 1,
) -> list[dict[str, Any]]:
    """All blocks of a case, those that are stored already as they are; plain data."""
    told = versions(tools)
    keys = [{**case.key(terms, block, seed), "tools": told} for block in range(case.blocks)]
    found = {number: one for number, key in enumerate(keys) if (one := stored.find(key))}
    wanting = [number for number in range(case.blocks) if number not in found]
    if wanting:
        timeout_s = _BASE_TIMEOUT_S + _SLOWER * case.transfer_s(terms)
        with open_mover(case.link, case.size_bytes, terms, tools[0], timeout_s) as mover:
            for block in wanting:
                tell(f"{case.name}: block {block + 1} of {case.blocks}")
                chosen = cases.order(list(told), case, block, seed)
                entry = _block(mover, {tool.name: tool for tool in tools}, chosen, tell, tries)
                found[block] = {"case": keys[block], **entry}
                stored.add(found[block])
    return [dict(found[number]) for number in range(case.blocks)]


def _block(
    mover: Mover, tools: dict[str, Tool], chosen: Sequence[str], tell: Tell, tries: int
) -> dict[str, Any]:
    """On loopback the tools take all that there is: nothing is void there."""
    link, before = mover.place.link, mover.place.kernel_drops()

    def once(_: int) -> list[dict[str, Any]]:
        done = [(name, mover.both_ways(tools[name])) for name in chosen]
        return [
            {"tool": name, "way": way, **asdict(one)}
            for name, moved in done
            for way, one in moved.items()
        ]

    if link is None:
        transfers = [{**one, "void": False} for one in once(0)]
    else:
        with quiet.watching(link.counters) as watch:
            transfers = quiet.undisturbed(
                once, watch, lambda: tell("it was busy here"), tries=tries
            )
    return {"transfers": transfers, "kernel_drops": mover.place.kernel_drops() - before}


@contextlib.contextmanager
def open_mover(
    link: LinkSettings | None, size_bytes: int, terms: Terms, sender: Tool, timeout_s: float
) -> Iterator[Mover]:
    """Server, proxy and link are up, and the file is made, for the length of a `with` block."""
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-tools-")))
        guard.send("remove", str(scratch))
        place = stack.enter_context(open_place(link, scratch, guard))
        shape = Shape(size_bytes=size_bytes, files=1, content="random", layout="flat")
        made = payload.make(shape, scratch, command.find_binary(os.environ), guard)
        yield Mover(
            place=place,
            terms=terms,
            sender=sender,
            scratch=scratch,
            guard=guard,
            made=made,
            timeout_s=timeout_s,
        )
