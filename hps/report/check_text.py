"""What the check of targets found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tabulate import tabulate

from hps.catalog.failures import missing_right
from hps.node.probe.checked import CALLS, TargetCheck

_WIDTH = 78


def render(checked: Sequence[TargetCheck]) -> str:
    """A line for each target and a column for each call; below, what is wrong and what to do."""
    rows = [[check.target, *_outcomes(check), _clock(check)] for check in checked]
    table = tabulate(rows, headers=["target", *CALLS, "clock"], disable_numparse=True)
    wrong = "\n".join(line for check in checked for line in _wrong(check))
    return f"{table}\n\n{wrong or 'all is well'}\n"


def as_data(checked: Sequence[TargetCheck]) -> list[dict[str, object]]:
    """The same for JSON, with an object for each target; times in seconds."""
    return [
        {
            "target": check.target,
            "ok": check.failure is None,
            "clock_offset_s": check.clock_offset_s,
            "left": check.leftover,
            "whole": check.whole,
            "calls": [
                {
                    "name": call.name,
                    "ok": call.failure is None,
                    "duration_s": round(call.duration_s, 3),
                    "reason": call.failure.reason if call.failure else "",
                    "reason_code": call.failure.code if call.failure else "",
                    "reason_owner": call.failure.owner if call.failure else "",
                    "right": missing_right(call.failure) if call.failure else "",
                }
                for call in check.calls
            ],
        }
        for check in checked
    ]


def _outcomes(check: TargetCheck) -> Iterator[str]:
    tried = {call.name: "ok" if call.failure is None else "failed" for call in check.calls}
    yield from (tried.get(name, "-") for name in CALLS)


def _clock(check: TargetCheck) -> str:
    return "?" if check.clock_offset_s is None else f"{check.clock_offset_s:+.0f} s"


def _wrong(check: TargetCheck) -> Iterator[str]:
    for call in check.calls:
        if call.failure is not None:
            yield from wrap(
                f"! {check.target}, {call.name}: {call.failure.reason}",
                _WIDTH,
                subsequent_indent="  ",
                break_long_words=False,
            )
    if not check.whole:
        yield f"! {check.target}: it answers slowly, and not all was tried in the time for it"
    if check.leftover:
        yield f"! {check.target}: what was written may still be at {check.leftover}"
