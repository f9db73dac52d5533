"""Gates, bounds that the numbers must meet: `[STEP.]METRIC[.STAT] OP VALUE` -> `Gate`. Pure.

`download.throughput.p50 >= 100Mbps` asks for a median of 100 Mbps wherever something is downloaded.
`hps.compare.gates` judges them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from hps.catalog.steps import STEP_KINDS
from hps.errors import HpsError, UnitError
from hps.units import (
    RATE_UNITS,
    TIME_UNITS,
    format_rate,
    format_time,
    parse_rate_mbps,
    parse_time_s,
)

Metric = Literal["throughput", "duration", "failures", "invalid", "cost", "regression"]
Operator = Literal[">=", "<=", ">", "<"]

_SHAPE = re.compile(
    r"\s*(?P<name>[A-Za-z0-9_.]{1,80}?)\s*(?P<op>>=|<=|==|!=|=|>|<)\s*(?P<value>[^\s<>=!].{0,40}?)\s*",
    re.ASCII,
)
_PERCENT = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,6})?)\s*%|0", re.ASCII)
_DOLLARS = re.compile(r"\$?\s*(?P<number>\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_EXAMPLE = "such as download.throughput.p50>=100Mbps or failures<=1%"
MAX_LENGTH = 200
# The steps that are compared: those that move payload, and so may have a chunk size.
STEPS = tuple(name for name, kind in STEP_KINDS.items() if "chunk_size" in kind.settings)


class GateError(HpsError):
    """A gate that can't be read. `message` completes "the gate …" and quotes nothing of it.

    `unit_error`, where there is one, says more and quotes the value.
    """

    def __init__(self, message: str, hint: str, unit_error: UnitError | None = None) -> None:
        super().__init__(message, hint)
        self.unit_error = unit_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate. `bound` is in Mbps, seconds, dollars per 10**9 bytes, or a share (0.01: 1 %).

    `step` empty: every step that has the metric. `stat` is empty where the metric has none.
    """

    text: str
    step: str
    metric: Metric
    stat: str
    op: Operator
    bound: float

    def meets(self, value: float) -> bool:
        """True for a value, in the unit of the bound, on the right side of it."""
        return _COMPARE[self.op](value, self.bound)


def parse(text: str) -> Gate:
    """`throughput.p50>=100Mbps` -> `Gate`. Raises `GateError`."""
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise GateError("is no gate", f"expected [STEP.]METRIC[.STAT] OP VALUE, {_EXAMPLE}")
    step, metric, stat = _names(match["name"])
    return Gate(
        text=text.strip(),
        step=step,
        metric=metric,
        stat=stat,
        op=_operator(match["op"], metric),
        bound=_BOUNDS[metric](match["value"]),
    )


def value_text(metric: Metric, value: float) -> str:
    """A value of a metric for people: `212 Mbps`, `3.4 s`, `1.2 %`, `$0.0123`."""
    if metric == "throughput":
        return format_rate(value)
    if metric == "duration":
        return format_time(value)
    return f"${value:.3g}" if metric == "cost" else f"{value * 100:.3g} %"


def _names(written: str) -> tuple[str, Metric, str]:
    """The step or an empty text, the metric, and its statistic: the first where none is named."""
    first, *rest = written.split(".")
    if first in STEP_KINDS and first not in STEPS:
        raise GateError("is about a step that moves no payload", _listed("expected", "", STEPS))
    step = first if first in STEPS else ""
    parts = rest if step else [first, *rest]
    metric = next((known for known in _STATS if parts and parts[0] == known), None)
    if metric is None:
        raise _unknown_name(first, step, parts)
    stats, named = _STATS[metric], parts[1:]
    if not named:
        return step, metric, stats[0] if stats else ""
    if len(named) > 1 or named[0] not in stats:
        hint = f"expected {metric}.{', '.join(stats)}" if stats else f"write {metric} alone"
        raise GateError(f"names a statistic that {metric} does not have", hint)
    return step, metric, named[0]


def _unknown_name(first: str, step: str, parts: list[str]) -> GateError:
    known = f"expected one of {', '.join(_STATS)}"
    if step and not parts:
        return GateError("names a step and no metric", f"{known} after it, {_EXAMPLE}")
    # A step with an unknown name is more likely than an unknown metric before a known one.
    if not step and len(parts) > 1 and parts[1] in _STATS:
        return GateError("names an unknown step", _listed("expected", first, STEPS))
    return GateError("names an unknown metric", _listed("expected", parts[0], _STATS))


def _listed(start: str, word: str, choices: Iterable[str]) -> str:
    names = list(choices)
    near = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    return f"{start} one of {', '.join(names)}{meant}"


def _operator(written: str, metric: Metric) -> Operator:
    op = _OPERATORS.get(written)
    if op is None:
        raise GateError("has an operator that gates don't know", "expected >=, <=, > or <")
    if metric == "regression" and op not in {"<=", "<"}:
        raise GateError("asks for a loss", "a regression has an upper bound: regression<=5%")
    return op


def _rate(text: str) -> float:
    try:
        return parse_rate_mbps(text)
    except UnitError as error:
        hint = f"expected a number and a unit: {RATE_UNITS}"
        raise GateError("has a value that is no rate", hint, error) from None


def _time(text: str) -> float:
    try:
        return parse_time_s(text)
    except UnitError as error:
        hint = f"expected a number and a unit: {TIME_UNITS}"
        raise GateError("has a value that is no time", hint, error) from None


def _share(text: str) -> float:
    match = _PERCENT.fullmatch(text)
    share = float(match["number"] or 0) / 100 if match else 2.0
    if share > 1:
        hint = "expected a percentage from 0% to 100%, such as 1%"
        raise GateError("has a value that is no share", hint)
    return share


def _dollars(text: str) -> float:
    match = _DOLLARS.fullmatch(text)
    if match is None:
        hint = "expected US dollars for each GB (10^9 bytes), such as 0.02"
        raise GateError("has a value that is no price", hint)
    return float(match["number"])


_STATS: Mapping[Metric, tuple[str, ...]] = MappingProxyType(
    {
        "throughput": ("p50", "p10", "p90", "min", "max"),
        "duration": ("p50", "first", "last"),
        "failures": (),
        "invalid": (),
        "cost": (),
        "regression": (),
    }
)
_BOUNDS: Mapping[Metric, Callable[[str], float]] = MappingProxyType(
    {
        "throughput": _rate,
        "duration": _time,
        "failures": _share,
        "invalid": _share,
        "cost": _dollars,
        "regression": _share,
    }
)
_COMPARE: Mapping[Operator, Callable[[float, float], bool]] = MappingProxyType(
    {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
)
_OPERATORS: Mapping[str, Operator] = MappingProxyType({">=": ">=", "<=": "<=", ">": ">", "<": "<"})
