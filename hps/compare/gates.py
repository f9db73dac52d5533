"""Gates judged on findings: pass, fail, or too little data, which never passes. Pure.

A gate holds where it holds in every cell that it is about; `--where` leaves cells out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hps.compare.comparison import CellSummary, Change, Comparison, Findings, Key
from hps.errors import EXIT_GATE_FAILED, EXIT_NO_DATA, EXIT_OK
from hps.spec.gates import Gate, GateError, Metric, parse

Outcome = Literal["pass", "fail", "no data", "inconclusive"]
# The first of these that a place has is the outcome of the gate.
_WORST_FIRST: tuple[Outcome, ...] = ("fail", "no data", "inconclusive", "pass")
GIVEN = "--gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedCell:
    """One cell judged by a gate. `value` is in the unit of the gate's bound; None: unknown."""

    title: str
    stratum: str
    key: Key
    value: float | None
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """A gate and its outcome. `metric` is None where the gate can't be read.

    `where` has every cell that it is about, the worst first. `source` is the experiment that
    declares it, or `--gate`.
    """

    gate: str
    source: str
    metric: Metric | None
    outcome: Outcome
    where: tuple[GatedCell, ...]
    reason: str


def judge_all(given: Sequence[Gate], findings: Findings) -> tuple[GateResult, ...]:
    """The results of the gates given, then of those that each experiment declares for itself."""
    results = [judge(gate, findings) for gate in given]
    for experiment, texts in findings.thresholds.items():
        results += [_declared(text, findings, experiment) for text in dict.fromkeys(texts)]
    return tuple(results)


def judge(gate: Gate, findings: Findings, experiment: str = "") -> GateResult:
    """One gate applied to every cell that it is about; with `experiment`, to that one's alone.

    Without any such cell the outcome is `no data`.
    """
    find = _regressions if gate.metric == "regression" else _cells
    places = sorted(find(gate, findings, experiment), key=lambda place: _rank(gate, place))
    outcome: Outcome = places[0].outcome if places else "no data"
    return GateResult(
        gate=gate.text,
        source=experiment or GIVEN,
        metric=gate.metric,
        outcome=outcome,
        where=tuple(places),
        reason=_reason(gate, outcome, places),
    )


def exit_code(results: Iterable[GateResult]) -> int:
    """4 where a gate failed; else 5 where one has too little to pass; else 0."""
    outcomes = {result.outcome for result in results}
    if "fail" in outcomes:
        return EXIT_GATE_FAILED
    return EXIT_OK if outcomes <= {"pass"} else EXIT_NO_DATA


def _declared(text: str, findings: Findings, experiment: str) -> GateResult:
    """The result of a gate from a stored run, which another version of hps may have checked."""
    try:
        return judge(parse(text), findings, experiment)
    except GateError as error:
        return GateResult(
            gate=text,
            source=experiment,
            metric=None,
            outcome="no data",
            where=(),
            reason=f"the gate {error.message}",
        )


def _cells(gate: Gate, findings: Findings, experiment: str) -> Iterator[GatedCell]:
    for comparison in findings.comparisons:
        if not _is_about(gate, comparison) or not _is_of(experiment, comparison.shared):
            continue
        for cell in comparison.cells:
            # What was measured in another cell's place is judged there.
            if cell.same_as is None and _is_of(experiment, cell.key):
                yield _place(gate, comparison, cell)


def _is_about(gate: Gate, comparison: Comparison) -> bool:
    if gate.step:
        return comparison.step == gate.step
    if gate.metric not in {"throughput", "cost"}:
        return True
    has_rate = any(cell.median_mbps is not None for cell in comparison.cells)
    return comparison.direction != "none" or has_rate


def _is_of(experiment: str, key: Key) -> bool:
    return not experiment or key.get("experiment", experiment) == experiment


def _place(gate: Gate, comparison: Comparison, cell: CellSummary) -> GatedCell:
    value = _VALUES[gate.metric, gate.stat](cell)
    outcome: Outcome = "no data"
    if value is not None and not math.isnan(value):
        outcome = "pass" if gate.meets(value) else "fail"
    known = outcome != "no data"
    return GatedCell(
        title=comparison.title,
        stratum=comparison.stratum,
        key=cell.key,
        value=value if known else None,
        outcome=outcome,
        reason="" if known else _why_unknown(gate, cell),
    )


def _why_unknown(gate: Gate, cell: CellSummary) -> str:
    if not sum(cell.statuses.values()):
        return "nothing was measured"
    if not cell.ok and gate.metric in {"throughput", "duration"}:
        return "no operation was ok"
    return "no prices are known" if gate.metric == "cost" else "too little to say"


def _invalid(cell: CellSummary) -> float | None:
    return cell.statuses.get("invalid", 0) / cell.ended if cell.ended else None


_VALUES: Mapping[tuple[Metric, str], Callable[[CellSummary], float | None]] = MappingProxyType(
    {
        ("throughput", "min"): lambda cell: cell.min_mbps,
        ("throughput", "p10"): lambda cell: cell.p10_mbps,
        ("throughput", "p50"): lambda cell: cell.median_mbps,
        ("throughput", "p90"): lambda cell: cell.p90_mbps,
        ("throughput", "max"): lambda cell: cell.max_mbps,
        ("duration", "first"): lambda cell: cell.first_done_s,
        ("duration", "p50"): lambda cell: cell.p50_duration_s,
        ("duration", "last"): lambda cell: cell.last_done_s,
        ("failures", ""): lambda cell: cell.failure_rate,
        ("invalid", ""): _invalid,
        ("cost", ""): lambda cell: cell.dollars_per_gb,
    }
)


def _regressions(gate: Gate, findings: Findings, experiment: str) -> Iterator[GatedCell]:
    shared = {(c.title, c.stratum, c.step): c.shared for c in findings.comparisons}
    for change in findings.changes:
        own = shared.get((change.title, change.stratum, change.step), {})
        if gate.step in {"", change.step} and _is_of(experiment, {**own, **change.key}):
            yield _regression(gate, change)


def _regression(gate: Gate, change: Change) -> GatedCell:
    outcome, reason = _loss(gate, change)
    return GatedCell(
        title=change.title,
        stratum=change.stratum,
        key=change.key,
        value=None if outcome == "no data" or change.ratio is None else _lost(change.ratio),
        outcome=outcome,
        reason=reason,
    )


def _loss(gate: Gate, change: Change) -> tuple[Outcome, str]:
    """Where the interval of the loss lies: below the bound, above it, or on both sides."""
    if not change.comparable:
        return "inconclusive", change.reason
    if change.ratio is None or math.isnan(change.ratio):
        return "no data", change.reason or "no counterpart in the baseline"
    interval = change.interval
    if interval is None or math.isnan(interval.low) or math.isnan(interval.high):
        return "inconclusive", change.reason or "too few for an interval"
    least, most = _lost(interval.high), _lost(interval.low)
    if gate.meets(most):
        return "pass", ""
    if not gate.meets(least):
        return "fail", ""
    return "inconclusive", f"the loss lies between {least * 100:.3g} and {most * 100:.3g} %"


def _lost(ratio: float) -> float:
    """The share that is lost; 0.95 is exactly a loss of 0.05, whatever binary fractions say."""
    return round(1 - ratio, 12)


def _rank(gate: Gate, place: GatedCell) -> tuple[int, float]:
    """The worst outcome first, and among those with the same the value that is the worst."""
    rises = gate.op in {">=", ">"}
    value = place.value or 0.0
    return _WORST_FIRST.index(place.outcome), value if rises else -value


def _reason(gate: Gate, outcome: Outcome, places: Sequence[GatedCell]) -> str:
    if not places:
        if gate.metric == "regression":
            return "there is no baseline to compare with: give --baseline"
        return "nothing was measured that it is about"
    count = sum(place.outcome == outcome for place in places)
    cells = "1 cell" if len(places) == 1 else f"{len(places):,} cells"
    if outcome == "pass":
        return f"in {cells}" if len(places) == 1 else f"in all {cells}"
    return f"in {count:,} of {cells}"
