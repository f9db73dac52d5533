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
    leftovers = (replace(item, failed=clean(item.failed)) for item in cleaned.leftovers)
    unknown = {name: clean(why) for name, why in cleaned.unknown.items()}
    return replace(cleaned, leftovers=tuple(leftovers), unknown=unknown)


def as_data(cleaned: Cleaned, experiment: str) -> dict[str, object]:
    """For programs: times in UTC, sizes in bytes."""
    return {
        "experiment": experiment,
        "left": [
            {
                "target": item.target,
                "run_id": item.run_id,
                "last_seen": utc_text(item.seen) if item.seen else None,
                "objects": item.objects,
                "size_bytes": item.size_bytes,
                "uploads": item.uploads,
                "kept": item.kept,
                "removed": item.removed,
                "failed": item.failed,
            }
            for item in cleaned.leftovers
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
        rows = [_row(item, now) for item in cleaned.leftovers]
        lines += [tabulate(rows, headers=_COLUMNS, disable_numparse=True, colalign=_ALIGN), ""]
        lines += _sums(cleaned, command)
    else:
        nowhere = [name for name in cleaned.places if name not in cleaned.unknown]
        lines += [f"{name}: nothing is left of any run of {experiment}" for name in nowhere]
    lines += [f"{name}: {why}" for name, why in cleaned.unknown.items()]
    return "".join(f"{printable(part)}\n" for line in lines for part in line.split("\n"))


def _row(item: Leftover, now: datetime) -> list[str]:
    seen = f"{_age(item.seen, now)} ago" if item.seen else "unknown"
    counts = (f"{item.objects:,}", format_size_rounded(item.size_bytes), f"{item.uploads:,}")
    return [item.target, item.run_id, seen, *counts, printable(_state(item))]


def _state(item: Leftover) -> str:
    if item.kept:
        return f"kept: {item.kept}"
    if item.failed:
        return f"not removed: {item.failed}"
    return "removed" if item.removed else ""


def _sums(cleaned: Cleaned, command: str) -> list[str]:
    waiting = [item for item in cleaned.leftovers if not (item.kept or item.removed or item.failed)]
    removed = [item for item in cleaned.leftovers if item.removed]
    lines = [f"{_counted(removed)}: removed"] if removed else []
    if waiting:
        lines += [f"{_counted(waiting)} can be removed:", f"  {command}"]
    if any(item.kept == PERHAPS_AT_WORK for item in cleaned.leftovers):
        lines.append(_SOONER)
    return lines


def _counted(leftovers: list[Leftover]) -> str:
    objects = sum(item.objects for item in leftovers)
    uploads = sum(item.uploads for item in leftovers)
    size = format_size_rounded(sum(item.size_bytes for item in leftovers))
    parts = (f"{_number(objects, 'object')} ({size})", _number(uploads, "incomplete upload"))
    return f"{' and '.join(parts)} of {_number(len({item.run_id for item in leftovers}), 'run')}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _age(moment: datetime, now: datetime) -> str:
    # A server's clock may be ahead.
    return format_time(max(0.0, (now.astimezone(UTC) - moment).total_seconds()))
