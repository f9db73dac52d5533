"""What the check of targets found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tabulate import tabulate

from hps.catalog.failures import missing_right
from hps.node.probe.check import CALLS, TargetCheck

_WIDTH = 78


def render(checked: Sequence[TargetCheck]) -> str:
    """A line for each target and a column for each call; below, what is wrong and what to do."""
    rows = [[one.target, *_outcomes(one), _clock(one)] for one in checked]
    table = tabulate(rows, headers=["target", *CALLS, "clock"], disable_numparse=True)
    wrong = "\n".join(line for one in checked for line in _wrong(one))
    return f"{table}\n\n{wrong or 'all is well'}\n"


def as_data(checked: Sequence[TargetCheck]) -> list[dict[str, object]]:
    """The same for JSON, with an object for each target; times in seconds."""
    return [
        {
            "target": one.target,
            "ok": one.failure is None,
            "clock_offset_s": one.clock_offset_s,
            "left": one.leftover,
            "whole": one.whole,
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
                for call in one.calls
            ],
        }
        for one in checked
    ]


def _outcomes(one: TargetCheck) -> Iterator[str]:
    tried = {call.name: "ok" if call.failure is None else "failed" for call in one.calls}
    yield from (tried.get(name, "-") for name in CALLS)


def _clock(one: TargetCheck) -> str:
    return "?" if one.clock_offset_s is None else f"{one.clock_offset_s:+.0f} s"


def _wrong(one: TargetCheck) -> Iterator[str]:
    for call in one.calls:
        if call.failure is not None:
            yield from wrap(
                f"! {one.target}, {call.name}: {call.failure.reason}",
                _WIDTH,
                subsequent_indent="  ",
                break_long_words=False,
            )
    if not one.whole:
        yield f"! {one.target}: it answers slowly, and not all was tried in the time for it"
    if one.leftover:
        yield f"! {one.target}: what was written may still be at {one.leftover}"
