"""What the journals of a fleet's nodes say: what came of each operation, and why a node was turned
down. Anybody may have written them: every value is looked at before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hps.errors import printable
from hps.results import journal
from hps.results.record import Record
from hps.tools.client import Listed

# A journal of a node has some MiB; what is far larger was not written by one.
MOST_JOURNAL_BYTES = 64 * 1024**2
_MOST_CHECKS = 20
_MOST_CHARACTERS = 300
_MOST_OPERATION_BYTES = 2.0**60
_MOST_DURATION_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCheck:
    """A rule that a node was judged by, as its journal has it; see `hps.node.verdict.Check`."""

    name: str
    value: float | str | None
    bound: float | tuple[str, ...]
    unit: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEnd:
    """How an operation ended, and when by the clock of its node; None where that is no time."""

    status: str
    code: str
    reason: str
    at: datetime | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFacts:
    """What one journal says. `fleet` is empty where its run was of none, or never began.

    `why` is then why not. `planned` is how many operations the run has, None where unknown.
    `checks` are those of a node that was not accepted.
    """

    machine_id: str
    fleet: str = ""
    spec_sha256: str = ""
    planned: int | None = None
    checks: tuple[NodeCheck, ...] = ()
    why: OperationEnd | None = None
    operations: Mapping[str, OperationEnd] = field(default_factory=dict)


@dataclass(slots=True)
class JournalReader:
    """Journals that were read, by their names; only what has changed since is read again."""

    facts: dict[str, JournalFacts] = field(default_factory=dict)
    _stamps: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)

    def find_changed(self, listed: Iterable[Listed]) -> list[Listed]:
        """Those of some journals that are new, or not as they were when they were read."""
        return [one for one in listed if self._stamps.get(one.key) != (one.size_bytes, one.at)]

    def read(self, folder: Path, listed: Iterable[Listed]) -> None:
        """Read journals that lie in a folder by their names; those that do not are passed over."""
        for item in listed:
            try:
                self.facts[item.key] = _read(folder / item.key, item)
            except OSError:
                continue  # it could not be fetched this time
            self._stamps[item.key] = (item.size_bytes, item.at)


def _read(path: Path, item: Listed) -> JournalFacts:
    """Raises `OSError`."""
    operations: dict[str, OperationEnd] = {}
    known: dict[str, Any] = {"machine_id": item.key.partition("/")[0]}
    for record in journal.each(path, {}):
        if record["kind"] != "result":
            known.update(_of_run(record))
            continue
        name, end = str(record["operation_id"]), _end_of(record)
        # As for all readers of results, what came to an end is never replaced by less.
        if end.status != "interrupted" or name not in operations:
            operations[name] = end
    return JournalFacts(**known, operations=_not_in_the_future(operations, item.at))


def _of_run(record: Record) -> dict[str, Any]:
    """What a run, or its resumption, says of itself."""
    found: dict[str, Any] = {"spec_sha256": record["spec_sha256"]}
    fleet = record.get("fleet")
    if isinstance(fleet, dict) and isinstance(fleet.get("name"), str):
        found["fleet"] = fleet["name"]
    if isinstance(record.get("operations"), int):
        found["planned"] = record["operations"]
    if isinstance(verdict := record.get("verdict"), dict):
        found["checks"] = _checks(verdict) if verdict.get("accepted") is False else ()
    if record.get("status") == "failed":
        found["why"] = _end_of({**record, "status": "failed"})
    return found


def _end_of(record: Mapping[str, object]) -> OperationEnd:
    size = record.get("size_bytes")
    is_size = type(size) is int and 0 <= size < _MOST_OPERATION_BYTES
    return OperationEnd(
        status=str(record["status"]),
        code=_text(record.get("reason_code")),
        reason=_text(record.get("reason")),
        at=_ended_at(record),
        size_bytes=int(str(size)) if is_size else 0,
    )


def _ended_at(record: Mapping[str, object]) -> datetime | None:
    duration_s = record.get("duration_s", 0.0)
    if not isinstance(duration_s, int | float) or not 0 <= duration_s <= _MOST_DURATION_S:
        return None
    try:
        began = datetime.fromisoformat(_text(record.get("started_at")))
        if began.tzinfo is None:
            return None
        return began.astimezone(UTC) + timedelta(seconds=duration_s)
    except (ValueError, OverflowError):
        return None


def _not_in_the_future(
    operations: Mapping[str, OperationEnd], stored_at: datetime | None
) -> Mapping[str, OperationEnd]:
    """The same, by the bucket's clock where the node's was ahead of it.

    What a journal tells had ended when it was stored.
    """
    latest = max((end.at for end in operations.values() if end.at), default=None)
    if stored_at is None or latest is None or latest <= stored_at:
        return operations
    ahead = latest - stored_at
    return {name: replace(end, at=_back(end.at, ahead)) for name, end in operations.items()}


def _back(at: datetime | None, ahead: timedelta) -> datetime | None:
    try:
        return None if at is None else at - ahead
    except OverflowError:
        return None


def _checks(verdict: Mapping[str, object]) -> tuple[NodeCheck, ...]:
    checks = verdict.get("checks")
    found = checks[:_MOST_CHECKS] if isinstance(checks, list) else []
    return tuple(_check(one) for one in found if isinstance(one, dict))


def _check(data: Mapping[str, object]) -> NodeCheck:
    value, bound = data.get("value"), data.get("bound")
    listed = bound if isinstance(bound, list) else []
    number = _number(bound)
    return NodeCheck(
        name=_text(data.get("name")) or "?",
        value=_text(value) if isinstance(value, str) else _number(value),
        bound=tuple(_text(one) for one in listed[:_MOST_CHECKS]) if number is None else number,
        unit=_text(data.get("unit")),
        outcome=_text(data.get("outcome")),
        reason=_text(data.get("reason")),
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(str(value)) if is_number and math.isfinite(float(str(value))) else None


def _text(value: object) -> str:
    return printable(value, _MOST_CHARACTERS) if isinstance(value, str) else ""
