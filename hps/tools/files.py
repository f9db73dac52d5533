"""Files of a given size, written by the bucket client's program, which every machine has."""

from __future__ import annotations

from hps.tools.invocation import Invocation
from hps.tools.rclone import command


def make_files(paths: tuple[str, ...], size_bytes: int, *, zeros: bool) -> Invocation:
    """Write files of exactly `size_bytes` each: incompressible bytes, or zeros."""
    return command.make_files(paths, size_bytes, zeros=zeros)
