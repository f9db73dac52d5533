"""The scratch disk: what is free, and how fast it writes and reads in sequence."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hps.errors import describe
from hps.model import Reading, Unknown, known, unknown

MIB = 1024**2
_BLOCK_BYTES = MIB
# Blocks that are written between two flushes: bounds the time of the last flush.
_BLOCKS_PER_FLUSH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpeed:
    """Sequential speed in MB/s (10^6 bytes a second)."""

    write_mb_per_s: Reading
    read_mb_per_s: Reading


def unmeasured(reason: str) -> DiskSpeed:
    """Both speeds unknown, for this reason."""
    return DiskSpeed(write_mb_per_s=unknown(reason), read_mb_per_s=unknown(reason))


def free_bytes(folder: Path) -> int | Unknown:
    """Bytes that this user may still write in the file system of `folder`."""
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        return Unknown(reason=f"{folder}: {describe(error)}")


def measure_speed(folder: Path, *, size_bytes: int = 64 * MIB, limit_s: float = 2.0) -> DiskSpeed:
    """Write `size_bytes` to the disk in blocks of 1 MiB, drop them from memory, and read them back.

    Each way ends after about `limit_s`, whatever was moved by then. The file has no name in
    `folder` (or loses it at once), so nothing is left behind however this process ends.
    """
    free = free_bytes(folder)
    if isinstance(free, Unknown):
        return unmeasured(free.reason)
    if free < 2 * size_bytes:
        return unmeasured(f"{folder}: only {free} bytes free")
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return _measure(file, size_bytes, limit_s)
    except OSError as error:
        return unmeasured(f"{folder}: {describe(error)}")


def _measure(file: BinaryIO, size_bytes: int, limit_s: float) -> DiskSpeed:
    write_mb_per_s = _rate(lambda: _write(file, size_bytes, limit_s))
    if not hasattr(os, "posix_fadvise"):
        reason = "this platform cannot drop a file from memory"
        return DiskSpeed(write_mb_per_s=write_mb_per_s, read_mb_per_s=unknown(reason))
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    read_mb_per_s = _rate(lambda: _read(file, limit_s))
    return DiskSpeed(write_mb_per_s=write_mb_per_s, read_mb_per_s=read_mb_per_s)


def _rate(move: Callable[[], int]) -> Reading:
    started_s = time.monotonic()
    moved_bytes = move()
    took_s = time.monotonic() - started_s
    if moved_bytes == 0 or took_s <= 0:
        return unknown("nothing was moved")
    return known(moved_bytes / 1e6 / took_s)


def _write(file: BinaryIO, size_bytes: int, limit_s: float) -> int:
    # Random, or a file system that compresses would write next to nothing.
    block = os.urandom(_BLOCK_BYTES)
    ends_s = time.monotonic() + limit_s
    written_bytes = 0
    while written_bytes < size_bytes and time.monotonic() < ends_s:
        for _ in range(_BLOCKS_PER_FLUSH):
            written_bytes += os.write(file.fileno(), block)
        os.fsync(file.fileno())
    return written_bytes


def _read(file: BinaryIO, limit_s: float) -> int:
    file.seek(0)
    ends_s = time.monotonic() + limit_s
    read_bytes = 0
    while time.monotonic() < ends_s:
        block = os.read(file.fileno(), _BLOCK_BYTES)
        if not block:
            break
        read_bytes += len(block)
    return read_bytes
