"""What the machine at hand has to offer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hps.node.cgroup import memory_total_bytes
from hps.spec.machine import Machine


def this_machine(folder: Path) -> Machine:
    """Memory and CPUs that this process can have, and the free disk of the folder's file system."""
    return Machine(
        memory_bytes=memory_total_bytes() or _installed_memory_bytes(),
        disk_free_bytes=shutil.disk_usage(folder).free,
        cpus=os.cpu_count() or 1,
    )


def _installed_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
