"""What interrupted runs left, as a text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from tabulate import tabulate

from hps.clean.candidates import PERHAPS_AT_WORK
from hps.clean.cleaning import Cleaned, Leftover
from hps.errors import printable
from hps.results.record import utc_text
from hps.units import format_size_rounded, format_time

_COLUMNS = ("target", "run", "last seen", "objects", "size", "uploads", "")
_SOONER = (
    "what may be at work on another machine is kept until --older-than (24h) after it was last seen"
)
_ALIGN = ("left", "left", "right", "right", "right", "right", "left")


def without_secrets(cleaned: Cleaned, clean: Callable[[str], str]) -> Cleaned:
    """The same with `clean` applied to all texts of servers."""
    left = (replace(one, failed=clean(one.failed)) for one in cleaned.leftovers)
    unknown = {name: clean(why) for name, why in cleaned.unknown.items()}
    return replace(cleaned, leftovers=tuple(left), unknown=unknown)


def as_data(cleaned: Cleaned, experiment: str) -> dict[str, object]:
    """For programs: times in UTC, sizes in bytes."""
    return {
        "experiment": experiment,
        "left": [
            {
                "target": one.target,
                "run_id": one.run_id,
                "last_seen": utc_text(one.seen) if one.seen else None,
                "objects": one.objects,
                "size_bytes": one.size_bytes,
                "uploads": one.uploads,
                "kept": one.kept,
                "removed": one.removed,
                "failed": one.failed,
            }
            for one in cleaned.leftovers
        ],
        "unknown": dict(cleaned.unknown),
        "embedded": list(cleaned.embedded),
    }


def render(cleaned: Cleaned, experiment: str, command: str, now: datetime) -> str:
    """For people. `command` is shown as what removes it; ages count back from `now`."""
    lines = [
        f"{name}: an embedded target ends with each run, and nothing is left in it"
        for name in cleaned.embedded
    ]
    if cleaned.leftovers:
        rows = [_row(one, now) for one in cleaned.leftovers]
        lines += [tabulate(rows, headers=_COLUMNS, disable_numparse=True, colalign=_ALIGN), ""]
        lines += _sums(cleaned, command)
    else:
        nowhere = [name for name in cleaned.places if name not in cleaned.unknown]
        lines += [f"{name}: nothing is left of any run of {experiment}" for name in nowhere]
    lines += [f"{name}: {why}" for name, why in cleaned.unknown.items()]
    return "".join(f"{printable(part)}\n" for line in lines for part in line.split("\n"))


def _row(one: Leftover, now: datetime) -> list[str]:
    seen = f"{_age(one.seen, now)} ago" if one.seen else "unknown"
    counts = (f"{one.objects:,}", format_size_rounded(one.size_bytes), f"{one.uploads:,}")
    return [one.target, one.run_id, seen, *counts, printable(_state(one))]


def _state(one: Leftover) -> str:
    if one.kept:
        return f"kept: {one.kept}"
    if one.failed:
        return f"not removed: {one.failed}"
    return "removed" if one.removed else ""


def _sums(cleaned: Cleaned, command: str) -> list[str]:
    waiting = [one for one in cleaned.leftovers if not (one.kept or one.removed or one.failed)]
    removed = [one for one in cleaned.leftovers if one.removed]
    lines = [f"{_counted(removed)}: removed"] if removed else []
    if waiting:
        lines += [f"{_counted(waiting)} can be removed:", f"  {command}"]
    if any(one.kept == PERHAPS_AT_WORK for one in cleaned.leftovers):
        lines.append(_SOONER)
    return lines


def _counted(left: list[Leftover]) -> str:
    objects, uploads = sum(one.objects for one in left), sum(one.uploads for one in left)
    size = format_size_rounded(sum(one.size_bytes for one in left))
    parts = (f"{_number(objects, 'object')} ({size})", _number(uploads, "incomplete upload"))
    return f"{' and '.join(parts)} of {_number(len({one.run_id for one in left}), 'run')}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _age(moment: datetime, now: datetime) -> str:
    # A server's clock may be ahead.
    return format_time(max(0.0, (now.astimezone(UTC) - moment).total_seconds()))
