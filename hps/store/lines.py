"""Stored lines as they are read back: those that `hps` may have written, and a word on the others.

A journal may come from a bucket or a folder that others can write to. Every field that is used
later has its type, so that whoever uses it need not ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hps.model import Status
from hps.record import Record
from hps.targets.own import is_run_id

_DEEPEST = 12
_LARGEST = 2.0**63
_SHOWN = 3
# Writers escape no text; what they do escape may be half a character, which can't be written.
_ESCAPE = b"\\u"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The good lines of a file, and why others are none, by their number."""

    records: tuple[Record, ...]
    bad: Mapping[int, str]

    @property
    def remark(self) -> str:
        """What was passed over; empty: nothing."""
        told = [f"line {number} {why}" for number, why in self.bad.items()]
        more = len(told) - _SHOWN
        return "; ".join([*told[:_SHOWN], f"and {more} more"] if more > 0 else told)


def read(path: Path) -> Lines:
    """The lines of a journal; a last one that a kill cut off is passed over. Raises `OSError`."""
    records, bad = [], {}
    try:
        text = path.read_bytes()
    except OSError as error:
        error.filename = error.filename or str(path)  # a read that fails does not say of what
        raise
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        record = parsed(line)
        if isinstance(record, str):
            bad[number] = record
        else:
            records.append(record)
    return Lines(records=tuple(records), bad=bad)


def parsed(line: bytes) -> Record | str:
    """The line of a journal; or why it is none."""
    try:
        record = json.loads(line)
        if _ESCAPE in line:
            json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return "is not JSON"
    return record if not (why := why_bad(record)) and isinstance(record, dict) else why


def why_bad(record: object) -> str:
    """Why this is no line of ours; empty: it is one."""
    if not isinstance(record, dict):
        return "is not a JSON object"
    fields = _FIELDS.get(str(record.get("kind")))
    if fields is None:
        return "is neither a run nor a result"
    # What no other field is used for is not looked into, but has to be written again.
    if not _is_plain(record, _DEEPEST):
        return "holds what no result does"
    for name, fits in fields.items():
        if name not in record:
            return f"lacks {name}"
        if not fits(record[name]):
            return f"has no {name} that can be"
    known = {name: fits for name, fits in _WHERE_KNOWN.items() if name in record}
    wrong = (name for name, fits in known.items() if not fits(record[name]))
    return next((f"has no {name} that can be" for name in wrong), "")


def _is_plain(value: object, deepest: int) -> bool:
    """No deeper than any line is, and no number that is none."""
    if isinstance(value, float | int):
        return -_LARGEST < value < _LARGEST
    if isinstance(value, dict | list):
        below = value.values() if isinstance(value, dict) else value
        return deepest > 0 and all(_is_plain(one, deepest - 1) for one in below)
    return True


def _text(value: object) -> bool:
    return isinstance(value, str)


def _count(value: object) -> bool:
    return type(value) is int and value >= 0


def _number(value: object) -> bool:
    return type(value) in {int, float}


def _number_or_none(value: object) -> bool:
    return value is None or _number(value)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _mapping_or_none(value: object) -> bool:
    return value is None or _mapping(value)


def _cell(value: object) -> bool:
    return isinstance(value, dict) and all(type(v) in {str, int, bool} for v in value.values())


def _merged(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and _cell(one.get("cell"))
        and _cell(one.get("same_as"))
        and _count(one.get("step_index"))
        and _text(one.get("step"))
        and _text(one.get("reason"))
        for one in value
    )


def _cells(value: object) -> bool:
    return isinstance(value, list) and all(map(_cell, value))


def _targets(value: object) -> bool:
    return isinstance(value, dict) and all(map(_mapping, value.values()))


_Fits = Mapping[str, Callable[[object], bool]]
_OF_ALL: _Fits = {
    "run_id": lambda value: isinstance(value, str) and is_run_id(value),
    **dict.fromkeys(("machine_id", "experiment", "spec_sha256", "started_at"), _text),
}
_OF_A_RESULT: _Fits = {
    **dict.fromkeys(("operation_id", "step", "reason"), _text),
    **dict.fromkeys(("step_index", "repetition", "retries"), _count),
    "warmup": lambda value: isinstance(value, bool),
    "status": lambda value: value in get_args(Status),
    "cell": _cell,
    "duration_s": _number,
    "throughput_mbps": _number_or_none,
    "effective": _mapping_or_none,
    "observed": _mapping_or_none,
}
_FIELDS: Mapping[str, _Fits] = {
    "run": _OF_ALL,
    "resume": _OF_ALL,
    "result": {**_OF_ALL, **_OF_A_RESULT},
}
# A run that never began lacks these.
_WHERE_KNOWN: _Fits = {
    "operations": _count,
    "cells": _cells,
    "merged": _merged,
    "targets": _targets,
    "verdict": _mapping,
}
