"""Why lines of a file are no results: looked into where the database found some that are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hps.collect.batches import LONGEST_LINE_BYTES

_SHOWN = 3
_OF_BOTH = ("run_id", "machine_id", "experiment", "started_at")
_OF_A_RESULT = (
    *("operation_id", "cell", "repetition", "warmup", "step", "step_index", "status"),
    *("duration_s", "requested"),
)


def explain(path: Path, *, good: int) -> list[str]:
    """What is wrong with lines of a file, of which `good` are as they should be.

    Raises `OSError`.
    """
    lines, found = 0, []
    for number, line in _lines(path):
        lines += 1
        reason = _why(line)
        if reason:
            found.append(f"line {number} {reason}")
    odd = lines - len(found) - good
    if odd > 0:
        found.append(f"{odd} lines with values that no result has")
    return [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; no more of each than the longest has."""
    with path.open("rb") as stream:
        number, begins = 0, True
        while line := stream.readline(LONGEST_LINE_BYTES + 2):
            number += begins
            if begins and line.strip():
                yield number, line
            begins = line.endswith(b"\n")


def _why(line: bytes) -> str:
    if len(line) > LONGEST_LINE_BYTES:
        return "is too long"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON" if line.endswith(b"\n") else "is torn, as of a run that still goes on"
    if not isinstance(record, dict) or record.get("kind") not in ("run", "resume", "result"):
        return "is neither a run nor a result"
    is_result = record["kind"] == "result"
    wanted = (*_OF_BOTH[:-1], *_OF_A_RESULT) if is_result else _OF_BOTH
    missing = [name for name in wanted if record.get(name) is None]
    return f"lacks {', '.join(missing[:_SHOWN])}" if missing else ""
