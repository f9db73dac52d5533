"""Whether this machine can make an emulated link, found out without the code under test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_NET_ADMIN, _SYS_ADMIN = 12, 21


def _why_not() -> str:
    """What is missing here; empty where nothing is."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no /dev/net/tun that may be opened"
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in status if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    if not (held >> _NET_ADMIN & 1 and held >> _SYS_ADMIN & 1):
        return "not root, or without the capabilities NET_ADMIN and SYS_ADMIN"
    if not os.access("/proc/sys/net/ipv4/tcp_rmem", os.W_OK):
        return "/proc/sys is read-only"
    return ""


WHY_NOT = _why_not() if Path("/proc/self/status").exists() else "not Linux"
needs_link = pytest.mark.skipif(bool(WHY_NOT), reason=f"no emulated link here: {WHY_NOT}")
