"""The programs that move the bytes: each in a module of its own, all behind one protocol.

`TOOLS` has them by the names that experiments use; what each can be told is in
`hps.catalog.tools`, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hps.tools.base import Tool
from hps.tools.invocation import Invocation
from hps.tools.rclone import command
from hps.tools.rclone.tool import Rclone
from hps.tools.s5cmd import S5cmd

TOOLS: Mapping[str, Tool] = MappingProxyType({"rclone": Rclone(), "s5cmd": S5cmd()})


def make_files(paths: tuple[str, ...], size_bytes: int, *, zeros: bool) -> Invocation:
    """Write files of exactly `size_bytes` each: incompressible bytes, or zeros.

    The program is that of the bucket's client, which every machine has.
    """
    return command.make_files(paths, size_bytes, zeros=zeros)
