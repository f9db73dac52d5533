"""Everything that is known of this node, as one value that is stored with every run."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.node import cgroup, disk, gpu
from hps.node.disk import DiskSpeed
from hps.node.environment import stored_environment
from hps.node.gpu import GpuFacts
from hps.node.machine_id import machine_id
from hps.node.reading import Reading, Unknown, known, unknown
from hps.node.tcp import TcpFacts, read_tcp
from hps.node.verdict import Readings

COUNTRY_NAME = "HPS_COUNTRY"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What this machine is; `dataclasses.asdict` of it is JSON. None: not known.

    `cpu_count` is the CPUs that this process may run on, `cpu_limit` how many of them its
    container may keep busy (None: all). `memory_bytes` is the container's limit where that is
    less than the host has. `missing` maps the name of a fact to the reason why it is None.
    """

    machine_id: str
    instance_id: str | None
    container_group_id: str | None
    container_group_name: str | None
    project_id: str | None
    project_name: str | None
    organization_id: str | None
    organization_name: str | None
    country: str | None
    system: str
    kernel: str
    architecture: str
    cpu_model: str | None
    cpu_count: int | None
    cpu_limit: float | None
    memory_bytes: int | None
    scratch_free_bytes: int | None
    disk: DiskSpeed
    tcp: TcpFacts
    python_version: str
    rclone_version: str | None
    gpu: GpuFacts
    environment: Mapping[str, str]
    missing: Mapping[str, str]


def collect(
    env: Mapping[str, str],
    scratch: Path,
    rclone_version: str | None,
    *,
    measure_disk: bool,
    look_for_gpu: bool,
) -> NodeFacts:
    """Look at this machine; never raises.

    `measure_disk` costs up to about 4 s, `look_for_gpu` the import of torch.
    """
    country, free = country_of(env), disk.free_bytes(scratch)
    return NodeFacts(
        machine_id=machine_id(env),
        **_salad_names(env),
        country=None if isinstance(country, Unknown) else country,
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=cpu_model(),
        cpu_count=_cpu_count(),
        cpu_limit=cgroup.cpu_limit(),
        memory_bytes=cgroup.memory_total_bytes(),
        scratch_free_bytes=None if isinstance(free, Unknown) else free,
        disk=disk.measure_speed(scratch) if measure_disk else disk.unmeasured("not measured"),
        tcp=read_tcp(),
        python_version=platform.python_version(),
        rclone_version=rclone_version,
        gpu=gpu.find_gpus() if look_for_gpu else GpuFacts(reason="not looked for"),
        environment=stored_environment(env),
        missing=_reasons(country=country, scratch_free_bytes=free),
    )


def readings_of(facts: NodeFacts) -> Readings:
    """What a verdict needs of these facts; rates and round trips stay unknown."""
    missing = facts.missing
    return Readings(
        gpu_memory_bytes=gpu.memory_reading(facts.gpu),
        disk_bytes=_reading(facts.scratch_free_bytes, missing.get("scratch_free_bytes", "")),
        country=_reading(facts.country, missing.get("country", "")),
    )


def country_of(env: Mapping[str, str]) -> str | Unknown:
    """The two-letter code in `HPS_COUNTRY`, in capitals. No platform tells a container its own."""
    text = env.get(COUNTRY_NAME, "").strip()
    if not text:
        return Unknown(reason=f"{COUNTRY_NAME} is not set")
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        return Unknown(reason=f"{COUNTRY_NAME} is not a two-letter code of a country")
    return text.upper()


def cpu_model(root: Path = Path("/")) -> str | None:
    """The CPU's name from `proc/cpuinfo`; None on machines that do not say."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _cpu_count() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _salad_names(env: Mapping[str, str]) -> dict[str, str | None]:
    names = (
        "instance_id",
        "container_group_id",
        "container_group_name",
        "project_id",
        "project_name",
        "organization_id",
        "organization_name",
    )
    return {name: env.get(f"SALAD_{name.upper()}") or None for name in names}


def _reading(value: float | str | None, reason: str) -> Reading:
    return unknown(reason) if value is None else known(value)


def _reasons(**values: Unknown | object) -> dict[str, str]:
    return {name: value.reason for name, value in values.items() if isinstance(value, Unknown)}
