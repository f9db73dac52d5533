"""Which nodes were rejected and why, and what all nodes offered against what was required."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hps.compare.comparison import Findings, FleetNode, fault
from hps.compare.words import plural
from hps.report import tables
from hps.report.pictures import histogram, marks
from hps.report.pictures.picture import (
    Drawn,
    Gap,
    Layer,
    Paint,
    Picture,
    category,
    colours,
    number,
    tip,
)

ROW_HEIGHT = 32
MOST_REASONS = 12
MOST_RULES = 3
# How a unit of the checks is shown: its name and how many of the stored ones make it.
_SHOWN = {"s": ("ms", 0.001), "bytes": ("GiB", 1024.0**3)}
# A rule, and what is wrong with a node that does not meet it.
_WORDS = {
    "min_upload": ("minimum upload", "upload too slow"),
    "min_download": ("minimum download", "download too slow"),
    "max_rtt": ("maximum round-trip time", "round trip too long"),
    "min_gpu_memory": ("minimum GPU memory", "too little GPU memory"),
    "min_disk": ("minimum disk", "disk too small"),
    "reach": ("target within reach", "the target is out of reach"),
    "countries": ("countries", "not in the countries asked for"),
}
_WIDTHS = {"Mbps": 20.0, "ms": 20.0, "GiB": 1.0}


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """The picture of reasons, then one for each rule with a number."""
    return (rejected(findings, paint), *required(findings, paint))


def rejected(findings: Findings, paint: Paint) -> Drawn:
    """Bars that count the nodes rejected for each reason."""
    if not findings.rejected:
        return Gap(name="rejected", section="reliability", reason="No node was rejected.")
    counts = reasons(findings.rejected)
    rows = [{"reason": reason, "nodes": nodes} for reason, nodes in counts]
    total = len(findings.rejected)
    y = category("reason", None, [row["reason"] for row in rows])
    x = number("nodes", "nodes", axis={"tickMinStep": 1, "tickCount": 5})
    tips = [tip("reason", "reason"), tip("nodes", "nodes", ",")]
    bars = Layer(
        rows=rows,
        mark={"type": "bar", "color": paint.orange},
        channels={"x": x, "y": y, "tooltip": tips},
    )
    return Picture(
        name="rejected",
        section="reliability",
        title=f"Why {plural(total, 'node')} {'was' if total == 1 else 'were'} left out",
        note="A node may have several reasons. None of its results is in the comparison.",
        finding=f"{plural(total, 'node')} left out: "
        + "; ".join(f"{reason}: {nodes}" for reason, nodes in counts),
        layers=[
            bars,
            marks.labels(rows, x, y, "nodes", paint.ink, align="left", dx=6),
        ],
        height=ROW_HEIGHT * len(rows) + 10,
    )


def reasons(nodes: Sequence[FleetNode]) -> list[tuple[str, int]]:
    """How many nodes had each reason, the most frequent first; rare ones are counted together."""
    counts = Counter(reason for node in nodes for reason in set(_why(node)))
    most = counts.most_common(MOST_REASONS)
    others = sum(counts.values()) - sum(number for _, number in most)
    return [*most, *([("other reasons", others)] if others else [])]


def _why(node: FleetNode) -> Iterator[str]:
    """A node's code; else what is wrong by each check that it did not pass."""
    if node.code:
        yield fault(node.code, node.owner)
        return
    wrong = [check for check in node.checks if check.get("outcome") != "pass"]
    for check in wrong:
        rule, breach = words(str(check.get("name", "?")))
        yield breach if check.get("outcome") == "fail" else f"{rule}: not known whether it is met"
    if not wrong:
        yield "no check that is known"


def words(rule: str) -> tuple[str, str]:
    """A rule for people, and its breach: `max_rtt` -> `maximum round-trip time`, `… too long`."""
    plain = rule.replace("_", " ")
    return _WORDS.get(rule, (plain, f"{plain} not met"))


def required(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """Histograms of what all nodes offered, one for each rule with a number, about its bound."""
    values: dict[str, list[Mapping[str, object]]] = {}
    every = {node.machine_id: node for node in (*findings.nodes, *findings.rejected)}
    for node in every.values():
        for check in node.checks:
            if _is_number(check.get("value")) and _is_number(check.get("bound")):
                values.setdefault(str(check.get("name", "?")), []).append(check)
    drawn = [_required(name, checks, paint) for name, checks in sorted(values.items())]
    nothing = Gap(name="required", section="reliability", reason="No node had to meet a number.")
    return drawn or (nothing,)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _required(name: str, checks: Sequence[Mapping[str, object]], paint: Paint) -> Picture:
    rule, _ = words(name)
    unit, scale = _SHOWN.get(str(checks[0].get("unit")), (str(checks[0].get("unit", "")), 1.0))
    values = np.array([float(str(check["value"])) / scale for check in checks])
    bounds = sorted({round(float(str(check["bound"])) / scale, 3) for check in checks})
    passed = np.array([check.get("outcome") == "pass" for check in checks])
    width = histogram.bin_width(values, _WIDTHS.get(unit, 1.0))
    bins = histogram.count(values, width)
    rows = []
    for verdict, chosen in (("meets it", passed), ("does not", ~passed)):
        counts = histogram.count(values[chosen], width, len(bins.counts)).counts.tolist()
        rows += [
            {"low": place * width, "high": (place + 1) * width, "nodes": nodes, "verdict": verdict}
            for place, nodes in enumerate(counts)
        ]
    axis = f"measured, {unit}" if unit else "measured"
    met = _bounds_text(bounds, unit)
    colour = colours("verdict", ("meets it", "does not"), (paint.green, paint.orange))
    return Picture(
        name=tables.slug("required", name),
        section="reliability",
        title=f"Measured against required: {rule}",
        note=f"{int(passed.sum()):,} of {len(checks):,} nodes meet {met}.{bins.not_drawn()}",
        finding=f"Of {len(checks):,} nodes {int(passed.sum()):,} meet the {rule}: {met}.",
        layers=[
            marks.bins(rows, axis, colour, stacked=True),
            *_rules(bounds, axis, paint),
        ],
        height=200,
    )


def _bounds_text(bounds: Sequence[float], unit: str) -> str:
    """`20 Mbps (dashed)`; the range where experiments asked for many different bounds."""
    if len(bounds) > MOST_RULES:
        return f"theirs, of {bounds[0]:g} to {bounds[-1]:g} {unit}".strip()
    return " or ".join(f"{bound:g} {unit}".strip() for bound in bounds) + " (dashed)"


def _rules(bounds: Sequence[float], axis: str, paint: Paint) -> list[Layer]:
    if len(bounds) > MOST_RULES:
        return []
    return [marks.rule("x", bounds, number("low", axis), paint.ink, dashed=True)]
