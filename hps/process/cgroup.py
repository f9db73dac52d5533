"""What a container may use of its host: limits of memory and CPU from cgroups, version 2 or 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Version 1 shows "no limit" as the largest page-aligned signed 64-bit number.
_NO_LIMIT_BYTES = 2**62


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The tightest limit on this process' memory; None where there is none.

    `root` is the folder that holds `proc` and `sys`.
    """
    texts = [
        *_values(root, "", "memory.max"),
        *_values(root, "memory", "memory.limit_in_bytes"),
    ]
    limits = [int(text) for text in texts if text.isdecimal() and int(text) < _NO_LIMIT_BYTES]
    return min(limits, default=None)


def memory_kills(root: Path = Path("/")) -> int | None:
    """How many processes of this group, and those below, the kernel has ended for lack of memory.

    None where the kernel does not count them.
    """
    texts = [*_values(root, "", "memory.events"), *_values(root, "memory", "memory.oom_control")]
    found = re.search(r"^oom_kill (\d+)$", "\n".join(texts[:1]), re.MULTILINE)
    return int(found[1]) if found else None


def cpu_limit(root: Path = Path("/")) -> float | None:
    """How many CPUs' worth of time this process may use; None where there is no limit."""
    quotas = list(_values(root, "", "cpu.max"))
    periods_us = list(_values(root, "cpu", "cpu.cfs_period_us"))
    quotas_us = list(_values(root, "cpu", "cpu.cfs_quota_us"))
    quotas += [" ".join(pair) for pair in zip(quotas_us, periods_us, strict=False)]
    return min((share for share in map(_share, quotas) if share is not None), default=None)


def throttled_s(root: Path = Path("/")) -> float | None:
    """For how long a limit on CPU time has stopped this process' group, or one above it: the most.

    All processors' times are summed. None where no group counts it.
    """
    texts = "\n".join([*_values(root, "", "cpu.stat"), *_values(root, "cpu", "cpu.stat")])
    times_s = [int(us) / 1e6 for us in re.findall(r"^throttled_usec (\d+)$", texts, re.MULTILINE)]
    times_s += [int(ns) / 1e9 for ns in re.findall(r"^throttled_time (\d+)$", texts, re.MULTILINE)]
    return max(times_s, default=None)


def memory_total_bytes(root: Path = Path("/")) -> int | None:
    """The memory that this process can have: the host's, or a limit that is less."""
    amounts = [_host_memory_bytes(root), memory_limit_bytes(root)]
    return min((amount for amount in amounts if amount is not None), default=None)


def _host_memory_bytes(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        kib = rest.split()[:1]
        if name == "MemTotal" and kib and kib[0].isdecimal():
            return int(kib[0]) * 1024
    return None


def _share(text: str) -> float | None:
    quota_us, _, period_us = text.partition(" ")
    if not (quota_us.isdecimal() and period_us.isdecimal() and int(period_us)):
        return None
    return int(quota_us) / int(period_us)


def _values(root: Path, controller: str, name: str) -> Iterator[str]:
    """The contents of file `name` in this process' group and all groups above it."""
    mount = root / "sys/fs/cgroup" / controller
    for group in _groups(root, controller):
        text = _read(mount / group / name)
        if text is not None:
            yield text


def _groups(root: Path, controller: str) -> list[PurePosixPath]:
    """Own group first, the top last. `controller` is empty for version 2.

    The top is always there: in a container the own group may be named as the host sees it.
    """
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own = number == "0" if not controller else controller in controllers.split(",")
        if own and ".." not in path.split("/"):
            group = PurePosixPath(path.lstrip("/"))
            return [group, *group.parents]
    return [PurePosixPath()]


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
