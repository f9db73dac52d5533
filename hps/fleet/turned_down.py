"""By which checks nodes were turned down, and which bound would let how many of them pass. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hps.fleet.journals import NodeCheck

_PARTS = (0.25, 0.5, 1.0)
_MOST_VALUES = 3
_UNITS = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """Another bound, and how many of the nodes that the check alone turned down it lets pass."""

    bound: str
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedDown:
    """How many nodes did not pass a check, and how many of them pass all others.

    `bound` is that of the experiment, as it is written there. `unknown` nodes have no value, and
    `reason` is why one of them has none, or where the check has no number why one did not pass.
    """

    check: str
    bound: str
    nodes: int
    alone: int
    unknown: int
    relaxed: tuple[Relaxed, ...]
    reason: str


def summarize(
    nodes: Iterable[Sequence[NodeCheck]], *, rejects_unknown: bool
) -> tuple[TurnedDown, ...]:
    """A line for each check that turned nodes down, the one with the most nodes first.

    Each of `nodes` has the checks of one node. `rejects_unknown`: one without a value did not pass.
    """
    outcomes = {"fail", "unknown"} if rejects_unknown else {"fail"}
    failed = [[check for check in checks if check.outcome in outcomes] for checks in nodes]
    by_name: dict[str, list[tuple[NodeCheck, bool]]] = {}
    for checks in failed:
        for check in {check.name: check for check in checks}.values():
            by_name.setdefault(check.name, []).append((check, len(checks) == 1))
    found = [_of_check(name, checks) for name, checks in by_name.items()]
    return tuple(sorted(found, key=lambda line: (-line.nodes, line.check)))


def _of_check(name: str, checks: Sequence[tuple[NodeCheck, bool]]) -> TurnedDown:
    first = checks[-1][0]
    unknown = [check for check, _ in checks if check.value is None]
    alone = [check for check, is_alone in checks if is_alone]
    reasons = unknown or ([] if isinstance(first.bound, float) else [first])
    return TurnedDown(
        check=name,
        bound=_bound_text(first),
        nodes=len(checks),
        alone=len(alone),
        unknown=len(unknown),
        relaxed=tuple(_relaxed(alone)),
        reason=next((check.reason for check in reasons), ""),
    )


def _relaxed(alone: Sequence[NodeCheck]) -> Iterator[Relaxed]:
    """Bounds that let a quarter, a half and all of these pass; of words the most frequent ones."""
    words = Counter(check.value for check in alone if isinstance(check.value, str))
    yield from (Relaxed(bound=f"{word}", nodes=n) for word, n in words.most_common(_MOST_VALUES))
    numbers = [
        (check.value, check.bound, check.unit)
        for check in alone
        if isinstance(check.value, float) and isinstance(check.bound, float)
    ]
    if not numbers:
        return
    is_least, unit = numbers[0][0] < numbers[0][1], numbers[0][2]
    values = sorted((value for value, _, _ in numbers), reverse=is_least)
    known: set[int] = set()
    for part in _PARTS:
        bound, text = _rounded(values[math.ceil(part * len(values)) - 1], unit, up=not is_least)
        passing = sum(value >= bound if is_least else value <= bound for value in values)
        if passing and passing not in known:
            known.add(passing)
            yield Relaxed(bound=text, nodes=passing)


def _rounded(value: float, unit: str, *, up: bool) -> tuple[float, str]:
    """A bound of two digits that lets this value pass, and how an experiment has it."""
    name, scale = _scale(value, unit)
    number = value / scale
    step = 10.0 ** (math.floor(math.log10(number)) - 1) if number > 0 else 1.0
    steps = number / step
    whole = math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)
    return float(f"{whole * step:.6g}") * scale, f"{whole * step:.6g}{name}"


def _scale(value: float, unit: str) -> tuple[str, float]:
    if unit == "bytes":
        return next(((name, size) for name, size in _UNITS if value >= size), _UNITS[-1])
    if unit == "s":
        return ("ms", 0.001) if value < 1 else ("s", 1.0)
    return unit, 1.0


def _bound_text(check: NodeCheck) -> str:
    if not isinstance(check.bound, float):
        return ", ".join(check.bound)
    name, scale = _scale(check.bound, check.unit)
    return f"{check.bound / scale:.6g}{name}"
