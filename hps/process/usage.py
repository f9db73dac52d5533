"""The processor time and the memory of a process, as `/proc` shows them. Linux only.

What `wait4` says of memory is no use here: until a child has become its program it counts as large
as this process, and a small tool would be as large as `hps`.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
# Of `stat`, after the name: time in the program and in the kernel, then of children that ended.
_TIMES = slice(11, 15)


@dataclass(slots=True)
class Usage:
    """What process `pid` has used so far; None where it was not seen.

    `peak_memory_bytes` is the most that was in memory at once, as of the last look: a process that
    has ended has none any more. Of several processes, it is that of the one that was started.
    """

    pid: int
    proc: Path = Path("/proc")
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None

    def look(self) -> None:
        """Look at a process that runs."""
        found = _PEAK.search(self._read("status"))
        if found:
            self.peak_memory_bytes = int(found[1]) * 1024

    def end(self) -> None:
        """Look at a process that has ended, and was not waited for yet."""
        ticks = self._read("stat").rpartition(") ")[2].split()[_TIMES]
        with contextlib.suppress(ValueError):
            self.cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") if ticks else None

    def _read(self, name: str) -> str:
        try:
            return (self.proc / str(self.pid) / name).read_text(errors="replace")
        except OSError:
            return ""
