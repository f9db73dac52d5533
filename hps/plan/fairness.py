"""Where the tools of one plan do not do the same for the same settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple

from hps.catalog.tools import TOOL_FACTS, count_chunks
from hps.model import Cell, Operation, Plan
from hps.plan.expand import uncompared


def explain(plan: Plan) -> tuple[str, ...]:
    """What is to be known before tools are compared; empty for a plan with one tool, as a rule."""
    return (
        *_verification(plan),
        *_checksums(plan),
        *_single_streams(plan),
        *_ticks(plan),
        *_own_settings(plan),
    )


def _verification(plan: Plan) -> Iterator[str]:
    names, steps = uncompared(plan.cells), plan.spec.steps
    if not names:
        return
    own = [cell for cell in plan.cells if cell.knobs.checksum is None and cell.knobs.tool in names]
    what = "little or nothing" if any(_compares_of_its_own(cell) for cell in own) else "nothing"
    who = f"{_listed(names)} {'compares' if len(names) == 1 else 'compare'} {what} of a download"
    if any(step.added for step in steps):
        yield f"Added: verify after each download, since {who} (verify: false leaves it out)"
    if any(step.settings.get("verify") is False for step in steps):
        yield f"Not verified: {who}"


def _compares_of_its_own(cell: Cell) -> bool:
    """As it comes, where the server has a checksum."""
    return TOOL_FACTS[cell.knobs.tool].down.checksum


def _checksums(plan: Plan) -> Iterator[str]:
    """A whole file's checksum takes time, before the first part and after the last."""
    told = [one for one in _downloads(plan) if one.requested and one.requested.checksum is not None]
    comparing = _tools(one for one in told if one.effective and one.effective.checksum)
    others = _tools(one for one in told if one.cell.knobs.tool in uncompared(plan.cells))
    if comparing and others:
        yield (
            f"Not the same: {_listed(comparing)} checks what it downloads, {_listed(others)} not; "
            "their fair partner is checksum: false"
        )


def _single_streams(plan: Plan) -> Iterator[str]:
    single = [operation for operation in _downloads(plan) if _is_single_stream(operation)]
    whole = [one for one in single if TOOL_FACTS[one.cell.knobs.tool].whole_at_one]
    ranges = [one for one in single if not TOOL_FACTS[one.cell.knobs.tool].whole_at_one]
    if whole and ranges:
        yield (
            f"Not the same at concurrency 1: {_listed(_tools(whole))} downloads a file by one GET, "
            f"{_listed(_tools(ranges))} range after range"
        )


def _own_settings(plan: Plan) -> Iterator[str]:
    left = {
        operation.cell.knobs.tool
        for operation in plan.operations
        if operation.requested and None in astuple(operation.requested) and not operation.why_not
    }
    names = [name for name in dict.fromkeys(cell.knobs.tool for cell in plan.cells) if name in left]
    if names:
        does, own = ("does", "its") if len(names) == 1 else ("do", "their")
        yield (
            f"As it comes: what {_listed(names)} {does} of {own} own is seen in a run; counts and "
            "times here are by documented defaults"
        )


def _ticks(plan: Plan) -> Iterator[str]:
    """The time of a process that waits before it ends is not that of the transfer."""
    moving = (op for op in plan.operations if op.direction != "none" and not op.why_not)
    for tool in _tools(moving):
        tick_s = TOOL_FACTS[tool].tick_s
        if tick_s:
            yield (
                f"Not the same: {tool} ends up to {tick_s:g} s after its last byte, which is part"
                " of duration_s and lowers its rates; moved_s has the time without that"
            )


def _is_single_stream(operation: Operation) -> bool:
    asked, planned = operation.requested, operation.effective
    if asked is None or planned is None or asked.chunk_size_bytes is None:
        return False
    chunks = count_chunks(operation.cell.knobs.size_bytes, asked.chunk_size_bytes)
    return planned.concurrency == 1 and chunks > 1


def _downloads(plan: Plan) -> Iterator[Operation]:
    for operation in plan.operations:
        if operation.direction == "down" and not operation.why_not:
            yield operation


def _tools(operations: Iterable[Operation]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(operation.cell.knobs.tool for operation in operations))


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
