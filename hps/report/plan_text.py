"""A plan for people: what it will do and take, before a byte moves."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from tabulate import tabulate

from hps.catalog.prices import PRICES
from hps.compare.comparison import direction_of
from hps.model import Fleet, Merged, NodeRules, Operation, Plan
from hps.plan import fairness
from hps.plan.estimate import Estimate
from hps.report.table import cell_name
from hps.report.values import dollars_text
from hps.units import format_rate, format_size_rounded, format_time

_MOST_LINES = 12
_WIDTH = 80
_WIDTH_OF_A_FACT = 66
# Operations that are put into words at once.
_PART = 1000


def render(plan: Plan, estimate: Estimate) -> str:
    """A table of what the plan comes to, and below it what is not measured, or not twice."""
    spec = plan.spec
    title = f"{spec.name}: {spec.description}" if spec.description else spec.name
    facts = [
        ("cells", f"{estimate.cells}"),
        ("trials", f"{estimate.trials}  ({_trials(plan)})"),
        ("operations", f"{estimate.operations}  ({_steps(estimate.operations_by_step)})"),
        ("upload", _amount(estimate.up_bytes, estimate.upload_mbps)),
        ("download", _amount(estimate.down_bytes, estimate.download_mbps)),
        ("requests", _requests(estimate)),
        ("cost", _cost(estimate)),
        ("time", _time(estimate)),
        ("probe", _probe(spec.node)),
        ("order", f"{spec.order.kind}, seed {spec.order.seed}"),
        ("fleet", _fleet(spec.fleet, estimate)),
    ]
    known = [(name, value) for name, value in facts if value]
    return "\n\n".join(
        [
            title,
            tabulate(known, tablefmt="plain"),
            *_unequal(fairness.explain(plan)),
            *_skipped(plan.operations),
            *_merged(plan.merged),
        ]
    )


def _fleet(fleet: Fleet | None, estimate: Estimate) -> str:
    """How nodes divide the cells; the numbers above are those of one that measures all."""
    if fleet is None:
        return ""
    cells, parts = estimate.cells, [] if fleet.nodes is None else [f"{fleet.nodes:,} nodes"]
    each = cells if fleet.cells is None else min(cells, fleet.cells)
    if fleet.for_s is not None:
        each, share = _cells_in(fleet.for_s, estimate)
        parts.append(share)
    elif each == cells:
        parts.append("every node measures all")
    else:
        parts.append(f"{each} of {cells} cells a node")
    if fleet.together:
        at = fleet.starts_at
        when = f"at {at:%Y-%m-%d %H:%M:%S} UTC" if at else "when HPS_FLEET_START says so"
        parts.append(f"the same on each, and all begin together {when}")
    elif fleet.nodes is not None and 0 < each < cells:
        parts.append(f"{fleet.nodes * each / cells:.3g} nodes at each cell")
    if fleet.until_s is not None:
        parts.append(f"until {format_time(fleet.until_s)} after the first began")
    return textwrap.fill(", ".join(parts), _WIDTH_OF_A_FACT)


def _cells_in(for_s: float, estimate: Estimate) -> tuple[int, str]:
    """About how many cells a node measures in some time, 0: unknown; and that in words."""
    within = f"as fit into {format_time(for_s)}"
    if not estimate.duration_s:
        return 0, f"as many of {estimate.cells} cells a node {within}"
    each = int(for_s / estimate.duration_s * estimate.cells)
    each = min(estimate.cells, max(1, each))
    return each, f"about {each} of {estimate.cells} cells a node, as many {within}"


def as_json(plan: Plan, estimate: Estimate) -> Iterator[str]:
    """The same for programs, with every operation; in parts, since there may be very many."""
    start, end = json.dumps(_head(plan, estimate) | {"operations": []}, indent=1).rsplit("[]", 1)
    yield f"{start}["
    for number in range(0, len(plan.operations), _PART):
        part = [_operation(operation) for operation in plan.operations[number : number + _PART]]
        lines = json.dumps(part, indent=1).removeprefix("[").removesuffix("\n]")
        yield ("," if number else "") + lines.replace("\n", "\n ")
    yield f"\n ]{end}\n"


def _head(plan: Plan, estimate: Estimate) -> dict[str, object]:
    return {
        "experiment": plan.spec.name,
        "spec_sha256": plan.spec.sha256,
        "estimate": asdict(estimate),
        "cells": [dict(cell.axes) for cell in plan.cells],
        "unequal": list(fairness.explain(plan)),
        "merged": [
            {
                "cell": dict(entry.cell),
                "step": entry.step,
                "step_index": entry.step_index,
                "same_as": dict(entry.same_as),
                "reason": entry.reason,
            }
            for entry in plan.merged
        ],
    }


def _operation(operation: Operation) -> dict[str, object]:
    return {
        "operation_id": operation.operation_id,
        "trial_id": operation.trial_id,
        "cell": dict(operation.cell.axes),
        "repetition": operation.repetition,
        "warmup": operation.warmup,
        "step": operation.step.kind,
        "direction": operation.direction,
        "requested": asdict(operation.requested) if operation.requested else None,
        "effective": asdict(operation.effective) if operation.effective else None,
        "depends_on": list(operation.depends_on),
        "timeout_s": operation.timeout_s,
        "why_not": operation.why_not,
    }


def _trials(plan: Plan) -> str:
    text = f"{plan.spec.repetitions} of each cell"
    return f"{text}, and {plan.spec.warmup} to warm up" if plan.spec.warmup else text


def _steps(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {step}" for step, count in counts.items())


def _amount(size_bytes: int, mbps: float | None) -> str:
    rate = f"  at {format_rate(mbps)}" if mbps and size_bytes else ""
    return f"{format_size_rounded(size_bytes)}{rate}"


def _requests(estimate: Estimate) -> str:
    requests = estimate.requests
    return (
        f"{requests.class_a:,} class A (write, list), {requests.class_b:,} class B (read), "
        f"{requests.free:,} delete"
    )


def _cost(estimate: Estimate) -> str:
    """Costs by known list prices. Empty where none are known, which is not the same as no cost."""
    parts = []
    for provider, dollars in estimate.dollars.items():
        prices = PRICES.get(provider)
        if dollars is not None and prices is not None:
            assumed = f" ({prices.assumes})" if prices.assumes else ""
            price = f"{prices.title}'s list prices of {prices.as_of}{assumed}"
            parts.append(f"about {dollars_text(dollars)} at {price}")
    return ", and ".join(parts)


def _time(estimate: Estimate) -> str:
    if estimate.duration_s is None:
        return "unknown: give --upload and --download, for example --upload 20Mbps"
    return f"about {format_time(estimate.duration_s)}"


def _probe(rules: NodeRules) -> str:
    """What is moved before the first operation, to find out whether the node will do."""
    wanted = rules.min_upload_mbps is not None or rules.min_download_mbps is not None
    if not wanted or rules.probe.method == "none":
        return ""
    return f"up to {format_time(rules.probe.duration_s)} each way at the node's full rate, first"


def _unequal(sentences: Iterable[str]) -> list[str]:
    lines = [textwrap.fill(f"{text}.", _WIDTH, subsequent_indent="  ") for text in sentences]
    return ["\n".join(lines)] if lines else []


def _skipped(operations: Iterable[Operation]) -> list[str]:
    """What a tool can't do as a cell asks, once for all repetitions."""
    lines = dict.fromkeys(
        f"{operation.step.kind} {cell_name(operation.cell.axes)}: {operation.why_not}"
        for operation in operations
        if operation.why_not and operation.requested is not None
    )
    return _listed("Skipped, since the tool can't do it as asked:", [*lines])


def _merged(merged: Sequence[Merged]) -> list[str]:
    lines = [
        f"{entry.step} {cell_name(entry.cell)} = {cell_name(entry.same_as)}: {entry.reason}"
        for entry in merged
        if direction_of(entry.step) != "none"
    ]
    return _listed("Not measured twice, since it would be the same on the wire:", lines)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    """A part of the answer with the first lines; none where there are no lines."""
    if not lines:
        return []
    shown = list(lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        shown.append(f"… and {len(lines) - _MOST_LINES} more (--format json has them all)")
    return ["\n".join([title, *(f"  {line}" for line in shown)])]
