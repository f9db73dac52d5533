"""Whether a node is accepted: its readings against the rules of an experiment. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hps.model import NodeRules, Reading, unknown
from hps.units import format_size_rounded

Outcome = Literal["pass", "fail", "unknown"]
Action = Literal["run", "reallocate", "exit", "continue"]


def _not_measured() -> Reading:
    return unknown("not measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The readings of a node that rules may be about. `rtt_s` is that to the bucket's endpoint."""

    upload_mbps: Reading = field(default_factory=_not_measured)
    download_mbps: Reading = field(default_factory=_not_measured)
    rtt_s: Reading = field(default_factory=_not_measured)
    gpu_memory_bytes: Reading = field(default_factory=_not_measured)
    disk_bytes: Reading = field(default_factory=_not_measured)
    country: Reading = field(default_factory=_not_measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One declared rule. `value` None: unknown; `reason` is why it did not pass, else empty."""

    name: str
    value: float | str | None
    bound: float | tuple[str, ...]
    unit: str
    outcome: Outcome
    reason: str
    reason_code: str = ""
    reason_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check per declared rule, and what follows; `dataclasses.asdict` of it is JSON.

    `reasons` has a line for each check that did not pass, also where the node is accepted.
    """

    accepted: bool
    action: Action
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]


def judge(rules: NodeRules, readings: Readings) -> Verdict:
    """A node is accepted where no check fails, or is unknown where `on_unknown` is `reject`.

    A value equal to its bound passes.
    """
    checks = tuple(_checks(rules, readings))
    rejecting = {"fail"} | ({"unknown"} if rules.on_unknown == "reject" else set())
    accepted = not any(check.outcome in rejecting for check in checks)
    return Verdict(
        accepted=accepted,
        action="run" if accepted else rules.on_reject,
        reasons=tuple(_line(check, rules) for check in checks if check.outcome != "pass"),
        checks=checks,
    )


def _checks(rules: NodeRules, readings: Readings) -> Iterator[Check]:
    if rules.min_upload_mbps is not None:
        yield _at_least("min_upload", readings.upload_mbps, rules.min_upload_mbps, "Mbps")
    if rules.min_download_mbps is not None:
        yield _at_least("min_download", readings.download_mbps, rules.min_download_mbps, "Mbps")
    if rules.max_rtt_s is not None:
        yield _at_most("max_rtt", readings.rtt_s, rules.max_rtt_s, "s")
    if rules.min_gpu_memory_bytes is not None:
        bound_bytes = rules.min_gpu_memory_bytes
        yield _at_least("min_gpu_memory", readings.gpu_memory_bytes, bound_bytes, "bytes")
    if rules.min_disk_bytes is not None:
        yield _at_least("min_disk", readings.disk_bytes, rules.min_disk_bytes, "bytes")
    if rules.countries:
        yield _among("countries", readings.country, rules.countries)


def _at_least(name: str, reading: Reading, bound: float, unit: str) -> Check:
    value = _number(reading)
    if value is None:
        return _unknown_check(name, reading, bound, unit)
    wrong = f"{_shown(value, unit)} is less than {_shown(bound, unit)}"
    return _check(name, value, bound, unit, "" if value >= bound else _with(wrong, reading))


def _at_most(name: str, reading: Reading, bound: float, unit: str) -> Check:
    value = _number(reading)
    if value is None:
        return _unknown_check(name, reading, bound, unit)
    wrong = f"{_shown(value, unit)} is more than {_shown(bound, unit)}"
    return _check(name, value, bound, unit, "" if value <= bound else _with(wrong, reading))


def _among(name: str, reading: Reading, bound: tuple[str, ...]) -> Check:
    if not isinstance(reading.value, str):
        return _unknown_check(name, reading, bound, "")
    value = reading.value.upper()
    allowed = value in {code.upper() for code in bound}
    return _check(
        name, value, bound, "", "" if allowed else f"{value} is not in {', '.join(bound)}"
    )


def _check(
    name: str, value: float | str, bound: float | tuple[str, ...], unit: str, wrong: str
) -> Check:
    outcome: Outcome = "fail" if wrong else "pass"
    return Check(name=name, value=value, bound=bound, unit=unit, outcome=outcome, reason=wrong)


def _unknown_check(name: str, reading: Reading, bound: float | tuple[str, ...], unit: str) -> Check:
    reason = reading.reason or f"{reading.value!r} is not a measured value"
    return Check(name=name, value=None, bound=bound, unit=unit, outcome="unknown", reason=reason)


def _number(reading: Reading) -> float | None:
    """The reading where it is a number that a measurement can give, else None."""
    value = reading.value
    if value is None or isinstance(value, str) or not math.isfinite(value) or value < 0:
        return None
    return value


def _with(wrong: str, reading: Reading) -> str:
    return f"{wrong} ({reading.reason})" if reading.reason else wrong


def _line(check: Check, rules: NodeRules) -> str:
    if check.outcome == "fail":
        return f"{check.name}: {check.reason}"
    return f"{check.name}: unknown, {check.reason} (on_unknown: {rules.on_unknown})"


def _shown(value: float, unit: str) -> str:
    return format_size_rounded(value) if unit == "bytes" else f"{value:.6g} {unit}"
