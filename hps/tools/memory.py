"""Whether the kernel ended a tool for lack of memory, and what the tool may have held in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hps.model import Operation
from hps.process import cgroup
from hps.units import format_size, format_size_rounded


@dataclass(slots=True)
class KernelKills:
    """How often the kernel has ended a process of this group, as far as that was looked at."""

    _seen: int | None = field(default_factory=cgroup.memory_kills)

    def more(self) -> bool:
        """True where there were more since the last look."""
        before, self._seen = self._seen, cgroup.memory_kills()
        return before is not None and self._seen is not None and self._seen > before


def needs(operation: Operation) -> str:
    """What a transfer holds in memory at most, by its settings, beside the limit of this group."""
    limit_bytes, asked = cgroup.memory_limit_bytes(), operation.effective
    limit = "" if limit_bytes is None else f"; the limit is {format_size_rounded(limit_bytes)}"
    if asked is None:
        return limit
    flight_bytes = asked.chunk_size_bytes * asked.concurrency * asked.transfers
    return (
        f"; chunk x concurrency x transfers is {format_size(asked.chunk_size_bytes)} x "
        f"{asked.concurrency} x {asked.transfers} = {format_size_rounded(flight_bytes)}{limit}"
    )
