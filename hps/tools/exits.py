"""How a call of a tool ended, before any evidence is looked at: the same for every tool."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from hps.catalog.failures import failure
from hps.catalog.steps import STEP_KINDS
from hps.catalog.tools import kept_in_memory_bytes
from hps.model import Failure, Operation, Status
from hps.process import cgroup
from hps.process.process import Exit
from hps.tools.base import Evidence
from hps.units import format_size, format_size_rounded, format_time

# -------------------------------------------------------------------------------------------------
# Whether the kernel ended a tool for lack of memory, and how much the tool may have used.


@dataclass(slots=True)
class KernelKills:
    """Counts the processes of this control group that the kernel ended for lack of memory."""

    _seen: int | None = field(default_factory=cgroup.memory_kills)

    def more(self) -> bool:
        """True where there were more since the last call."""
        before, self._seen = self._seen, cgroup.memory_kills()
        return before is not None and self._seen is not None and self._seen > before


def needs(operation: Operation) -> str:
    """Words on what a tool keeps in memory by its settings, and on this group's limit."""
    limit_bytes, asked = cgroup.memory_limit_bytes(), operation.effective
    limit = "" if limit_bytes is None else f"; the limit is {format_size_rounded(limit_bytes)}"
    direction, tool = STEP_KINDS[operation.step.kind].direction, operation.cell.knobs.tool
    if asked is None:
        return limit
    in_flight = asked.concurrency * asked.transfers
    kept_bytes = kept_in_memory_bytes(tool, asked.chunk_size_bytes, in_flight, direction)
    if not kept_bytes:
        return limit
    times = kept_bytes // (asked.chunk_size_bytes * in_flight)
    return (
        f"; {'' if times == 1 else f'{times} x '}chunk x concurrency x transfers is "
        f"{'' if times == 1 else f'{times} x '}{format_size(asked.chunk_size_bytes)} x "
        f"{asked.concurrency} x {asked.transfers} = {format_size_rounded(kept_bytes)}{limit}"
    )


# -------------------------------------------------------------------------------------------------
# By what signal or code it ended, and whether hps or the tool stood still meanwhile.

# hps may stand still for so long, and so may the tool. On an overloaded machine it was seen to take
# 0.2 s to wake up and to start a tool; a process that is stopped or swapped out is away for
# seconds. A tool that is not seen stopped may also wait for a full disk to accept its log, and that
# is its own time.
_LATE_S = 1.0
_SILENT_S = 2.0
_LATE_SHARE = 0.02
_REASON_LENGTH = 400
_NO_MEMORY = "out of memory"  # by the runtime of Go


def judge(
    tool: str,
    ended: Exit,
    operation: Operation,
    evidence: Evidence,
    explain: Callable[[], Failure],
    *,
    starved: bool = False,
) -> tuple[Status, Failure | None]:
    """Status and failure by how the process ended; `explain` says why where it failed by itself.

    `starved`: the kernel has ended a process of this group.
    """
    stood = _stood_still(ended, evidence.silent_s)
    if ended.ended == "timeout":
        limit = f"stopped after its time-out of {format_time(operation.timeout_s or 0)}"
        return "timeout", stood or failure("timeout", limit + evidence.repeated)
    if ended.ended == "flooded":
        return "failed", failure(
            "tool_failed", f"{tool} wrote far more than a log has, and was ended"
        )
    if ended.ended == "stopped":
        return "interrupted", failure("stopped", "the run was stopped")
    if ended.returncode == 0:
        return ("invalid", stood) if stood else ("ok", None)
    why = died(tool, ended, operation, evidence.crash, starved=starved)
    return "failed", why or explain()


def died(
    tool: str, ended: Exit, operation: Operation, crash: str = "", *, starved: bool = False
) -> Failure | None:
    """Why a tool ended by a signal, a crash, or lack of memory; None where it ended by itself."""
    if ended.returncode == -signal.SIGKILL and starved:
        what = f"{tool} was ended by the kernel, for there was no memory left"
        return failure("out_of_memory", what + needs(operation))
    if _NO_MEMORY in crash:
        return failure("out_of_memory", f"{tool} got no more memory{needs(operation)}")
    if crash:
        return failure("tool_crashed", f"{tool} crashed: {crash[:_REASON_LENGTH]}")
    if ended.returncode >= 0:
        return None
    number = -ended.returncode
    return failure("tool_crashed", f"{tool} was ended by signal {number} ({_signal_name(number)})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _stood_still(ended: Exit, silent_s: float) -> Failure | None:
    """Why the measured time is longer than the work took; None where it is not."""
    share_s = _LATE_SHARE * ended.duration_s
    if ended.late_s > max(_LATE_S, share_s):
        what = f"hps stood still for {ended.late_s:.2g} s while the tool was at work"
        return failure("late", what)
    if ended.stopped_s > max(_LATE_S, share_s):
        return failure("tool_stopped", f"the tool was stopped for {ended.stopped_s:.2g} s")
    if silent_s > max(_SILENT_S, share_s):
        return failure("tool_stopped", f"the tool stood still for {silent_s:.2g} s, by its log")
    return None
