"""The programs that move the bytes: each in a module of its own, all behind one protocol.

`TOOLS` has them by the names that experiments use. Which settings each accepts is in
`hps.catalog.tools`, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hps.tools.base import Tool
from hps.tools.library import Library
from hps.tools.rclone.tool import Rclone
from hps.tools.s5cmd import S5cmd

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "rclone": Rclone(),
        "s5cmd": S5cmd(),
        "boto3": Library(name="boto3"),
        "obstore": Library(name="obstore"),
        "awscrt": Library(name="awscrt"),
    }
)
