"""Measured cases -> the tables, and what is off. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from bench.truth import seen
from bench.truth.compare import (
    PROBE_TOLERANCE,
    RTT_TOLERANCE,
    TOLERANCE,
    Check,
    checks,
    probe_checks,
)

Case = Mapping[str, Any]
_HEADERS = (
    "link", "", "MiB", "chunks", "in flight", "conns", "s", "seen", "off %", "Mbps", "seen",
    "off %", "payload Mbps", "off %", "wire Mbps", "of link %", "rclone's 100 %", "",
)  # fmt: skip
_PROBE_HEADERS = ("link", "", "probe", "seen", "off %", "link", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One operation with its checks; no `seen`: it went unseen, which is off as well."""

    name: str
    limit_mbps: float
    record: Mapping[str, Any]
    seen: seen.Seen | None
    checks: tuple[Check, ...]

    @property
    def good(self) -> bool:
        """True where all that was reported is true."""
        return self.seen is not None and all(check.good for check in self.checks)


def judge(case: Case) -> list[Judged]:
    """Every transfer of a case."""
    judged = []
    for operation in case["operations"]:
        record = operation["reported"]
        found = seen.from_data(operation["seen"]) if operation["seen"] else None
        way = "up" if record["step"] == "upload" else "down"
        judged.append(
            Judged(
                name=case["name"],
                limit_mbps=case["limits_mbps"][way],
                record=record,
                seen=found,
                checks=checks(record, found) if found else (),
            )
        )
    return judged


def judge_probe(case: Case) -> tuple[Check, ...]:
    """Nothing where the case had no probe."""
    if case["probe"] is None:
        return ()
    probe = case["probe"]
    return probe_checks(probe["reported"], probe["carried_mbps"], case["case"]["link"]["rtt_s"])


def what_is_off(measured: Sequence[Case]) -> list[str]:
    """A line for everything that is not as it should be."""
    if not any(case["operations"] for case in measured):
        return ["nothing was measured"]
    return [line for case in measured for line in _off(case)]


def what_is_void(measured: Sequence[Case]) -> list[str]:
    """A line for each transfer that this machine had too little time for."""
    return [f"{case['name']}, {line}" for case in measured for line in case["void"]]


def text(measured: Sequence[Case]) -> str:
    """Both tables, and the largest differences."""
    judged = [one for case in measured for one in judge(case)]
    rows = [_row(one) for one in judged]
    parts = [_table(rows, _HEADERS), f"{_summary(judged)} {_health(measured)}"]
    probed = [row for case in measured for row in _probe_rows(case)]
    if probed:
        parts += [
            "The node's probe against what the link carried meanwhile, to be within "
            f"{PROBE_TOLERANCE:.0%}, and round trips against the link's own, within "
            f"{RTT_TOLERANCE:.0%}; `link` is what it could carry.",
            _table(probed, _PROBE_HEADERS),
        ]
    return "\n\n".join(parts)


def _off(case: Case) -> Iterator[str]:
    for one in judge(case):
        place = f"{one.name}, {one.record['step']}"
        if one.seen is None:
            how = f"{one.record['status']} {one.record['reason']}".strip()
            yield f"{place}: it went unseen, and ended as {how}"
        yield from (f"{place}: {check.text()}" for check in one.checks if not check.good)
    for check in judge_probe(case):
        if not check.good:
            yield f"{case['name']}, probe, {check.text()}"
    if case["kernel_drops"]:
        yield f"{case['name']}: {case['kernel_drops']} packets were dropped before the link"
    yield from (f"{case['name']}: {line}" for line in case["others"])


def _row(one: Judged) -> list[str]:
    record, found = one.record, one.seen
    start = [one.name, {"upload": "up", "download": "down"}[record["step"]]]
    if found is None:
        return [*start, *[""] * (len(_HEADERS) - 3), "OFF"]
    by_name = {check.what: check for check in one.checks}
    wire_mbps = by_name["no faster than the link carried it"].seen
    return [
        *start,
        f"{record['size_bytes'] / 1024**2:.0f}",
        _both(by_name["chunks"]),
        _both(by_name["in flight"]),
        _both(by_name["connections"]),
        *_three(by_name["duration"], 2),
        *_three(by_name["Mbps"], 1),
        *_three(by_name["payload Mbps"], 1)[::2],
        f"{wire_mbps:.1f}",
        f"{100 * wire_mbps / one.limit_mbps:.0f}",
        "" if found.premature_share is None else f"{100 * found.premature_share:.0f} %",
        "ok" if one.good else "OFF",
    ]


def _both(check: Check) -> str:
    """One number where both are the same."""
    return f"{check.seen:g}" if check.good else f"{check.reported}, not {check.seen:g}"


def _three(check: Check, digits: int) -> list[str]:
    reported = "" if check.reported is None else f"{check.reported:.{digits}f}"
    return [reported, f"{check.seen:.{digits}f}", _percent(check)]


def _percent(check: Check) -> str:
    return "" if check.difference is None else f"{100 * check.difference:+.2f}"


def _summary(judged: Sequence[Judged]) -> str:
    good = sum(one.good for one in judged)
    worst = {
        what: max(
            (abs(check.difference) for one in judged for check in one.checks
             if check.what == what and check.difference is not None),
            default=0.0,
        )
        for what in ("duration", "Mbps", "payload Mbps")
    }  # fmt: skip
    said = ", ".join(f"{what} {100 * share:.2f} %" for what, share in worst.items())
    return (
        f"{good} of {len(judged)} transfers are as reported: counts equal, durations and Mbps "
        f"within {TOLERANCE:.0%}, payload Mbps within {TOLERANCE:.0%} and, of uploads, the time "
        f"allowed for hashing. Largest differences: {said}."
    )


def _health(measured: Sequence[Case]) -> str:
    late_ms = 1000 * max(case["mean_late_s"] for case in measured)
    most_ms = 1000 * max(case["most_late_s"] for case in measured)
    drops = sum(case["kernel_drops"] for case in measured)
    return (
        f"The links: {drops} packets dropped unseen; packets at most {late_ms:.2f} ms late on "
        f"average over a case, one {most_ms:.1f} ms. {_idle(measured)}"
    )


def _idle(measured: Sequence[Case]) -> str:
    void, least = what_is_void(measured), [case["least_idle_cores"] for case in measured]
    idle = min((one for one in least if one is not None), default=0.0)
    return f"Of a processor {idle:.2f} were idle in every transfer; void: {len(void)}."


def _probe_rows(case: Case) -> Iterator[list[str]]:
    for check in judge_probe(case):
        scale, unit = (1000, "ms") if check.what == "rtt" else (1, "Mbps")
        limit = case["limits_mbps"].get(check.what)
        reported = "" if check.reported is None else f"{scale * check.reported:.1f} {unit}"
        yield [
            case["name"],
            check.what,
            reported,
            f"{scale * check.seen:.1f} {unit}",
            _percent(check),
            "" if limit is None else f"{limit:.1f} Mbps",
            "ok" if check.good else "OFF",
        ]


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
