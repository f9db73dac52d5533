"""Everything that is known of this node, as one value that is stored with each run."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hps.model import Reading, Unknown, known, unknown
from hps.node import disk, gpu
from hps.node.disk import DiskSpeed
from hps.node.gpu import GpuFacts
from hps.node.verdict import Readings
from hps.process import cgroup
from hps.redaction import VARIABLE_PREFIX

# -------------------------------------------------------------------------------------------------
# An id for this machine that is the same in each run.

MAX_CHARACTERS = 64
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")
_MULTICAST_BIT = 1 << 40
_LOCAL_BIT = 1 << 41


def machine_id(env: Mapping[str, str], root: Path = Path("/")) -> str:
    """`SALAD_MACHINE_ID`, made safe for a file name; else `host-` and 12 hex digits of this host.

    At most 64 characters of `A-Za-z0-9._-`, the first neither a dot nor a dash. Never raises.
    `root` is where `etc/machine-id` is looked for.
    """
    return sanitised(env.get("SALAD_MACHINE_ID", "")) or host_id(root)


def sanitised(text: str) -> str:
    """`text` as a file name: at most 64 characters, any other than `A-Za-z0-9._-` as `_`."""
    return _FOREIGN.sub("_", text.strip()).lstrip(".-")[:MAX_CHARACTERS]


def host_id(root: Path = Path("/")) -> str:
    """`host-` and 12 hex digits from machine id and host name, else a MAC address, else the name.

    Only a digest is shown: the machine id itself is meant to stay on the machine.
    """
    seed = _machine_id_file(root) or _mac() or f"name:{socket.gethostname()}"
    return f"host-{hashlib.sha256(f'hps:{seed}'.encode()).hexdigest()[:12]}"


def _machine_id_file(root: Path) -> str | None:
    try:
        text = (root / "etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    # With the name: an image may have brought the file along, to many containers.
    return f"id:{text}:{socket.gethostname()}" if re.fullmatch(r"[0-9a-f]{32}", text) else None


def _mac() -> str | None:
    node = uuid.getnode()
    # A set multicast bit marks a random number. A locally administered address is made up too:
    # containers of different hosts share the same ones.
    return None if node & (_MULTICAST_BIT | _LOCAL_BIT) else f"mac:{node:012x}"


# -------------------------------------------------------------------------------------------------
# The part of the environment that may be stored: an allow-list of names, without secrets.

# The variables that this program reads, but for secrets. Not every HPS_ name: for a service that is
# called `hps` Kubernetes sets HPS_PORT, HPS_SERVICE_HOST and more in each container.
OWN_NAMES = (
    "HPS_AWS",
    "HPS_AZCOPY",
    "HPS_CACHE",
    "HPS_COUNTRY",
    "HPS_FLEET",
    "HPS_FLEET_AGAIN",
    "HPS_FLEET_GROUP",
    "HPS_FLEET_START",
    "HPS_FLEET_UNTIL",
    "HPS_GSUTIL",
    "HPS_KUBECTL",
    "HPS_LOG",
    "HPS_METADATA_URL",
    "HPS_OUTPUT",
    "HPS_RCLONE",
    "HPS_S3PARCP",
    "HPS_S5CMD",
    "HPS_STATE",
)
SALAD_NAMES = (
    "SALAD_MACHINE_ID",
    "SALAD_INSTANCE_ID",
    "SALAD_CONTAINER_GROUP_ID",
    "SALAD_CONTAINER_GROUP_NAME",
    "SALAD_PROJECT_ID",
    "SALAD_PROJECT_NAME",
    "SALAD_ORGANIZATION_ID",
    "SALAD_ORGANIZATION_NAME",
)
ALLOWED_NAMES = frozenset(
    {
        *OWN_NAMES,
        *SALAD_NAMES,
        "BUCKET",
        "CLOUDFLARE_REGION",
        "DLSPEED",
        "EXPERIMENT",
        "FOLDER",
        "SIZE",
        "ULSPEED",
    }
)
MAX_VALUE_CHARACTERS = 1000
_SECRET_WORD = re.compile(
    r"AUTH|BEARER|CERT|COOKIE|CRED|JWT|KEY|PASS|PRIVATE|PWD|SECRET|SESSION|SIGNATURE|TOKEN"
)
# Shorter values are too likely to be part of something harmless.
_MIN_SECRET_CHARACTERS = 8


def stored_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The allowed names of `env` that are set, sorted, with their values made harmless.

    Addresses lose user, password, query and fragment; a value that holds the value of a variable
    with a secret's name is replaced by `***`.
    """
    secrets = [
        value
        for name, value in env.items()
        if is_secret_name(name) and len(value) >= _MIN_SECRET_CHARACTERS
    ]
    return {name: _harmless(env[name], secrets) for name in sorted(env) if is_allowed(name)}


def is_allowed(name: str) -> bool:
    """True for the names that may be stored; HPS_VAR_… are filled into experiments."""
    if name in ALLOWED_NAMES:
        return True
    return name.startswith(VARIABLE_PREFIX) and not is_secret_name(name)


def is_secret_name(name: str) -> bool:
    """True where a name sounds like that of a secret, or of an access key's id."""
    if name in ALLOWED_NAMES:
        return False
    return _SECRET_WORD.search(name.upper()) is not None or "ID" in name.upper().split("_")


def _harmless(value: str, secrets: list[str]) -> str:
    if any(secret in value for secret in secrets):
        return "***"
    return (_bare_address(value) if "://" in value else value)[:MAX_VALUE_CHARACTERS]


def _bare_address(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        return "***"
    # The fragment of a git+https address is the path of the experiment: it is kept.
    fragment = parts.fragment if parts.scheme.startswith("git+") else ""
    return parts._replace(
        netloc=parts.netloc.rpartition("@")[2], query="", fragment=fragment
    ).geturl()


# -------------------------------------------------------------------------------------------------
# How the kernel's TCP is set: congestion control and buffer limits.


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpFacts:
    """The kernel's settings; None where unreadable. Buffers are (least, default, most) in bytes."""

    congestion_control: str | None
    receive_buffer_bytes: tuple[int, int, int] | None
    send_buffer_bytes: tuple[int, int, int] | None


def read_tcp(root: Path = Path("/")) -> TcpFacts:
    """Read `proc/sys/net/ipv4` under `root`. Never raises."""
    folder = root / "proc/sys/net/ipv4"
    return TcpFacts(
        congestion_control=_read(folder / "tcp_congestion_control"),
        receive_buffer_bytes=_three(_read(folder / "tcp_rmem")),
        send_buffer_bytes=_three(_read(folder / "tcp_wmem")),
    )


def _three(text: str | None) -> tuple[int, int, int] | None:
    numbers = [int(word) for word in (text or "").split() if word.isdecimal()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


# -------------------------------------------------------------------------------------------------
# The facts themselves.

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
    """The readings of a verdict that are facts; rates and round trips stay unknown."""
    missing = facts.missing
    return Readings(
        gpu_memory_bytes=gpu.memory_reading(facts.gpu),
        disk_bytes=_reading(facts.scratch_free_bytes, missing.get("scratch_free_bytes", "")),
        country=_reading(facts.country, missing.get("country", "")),
    )


def country_of(env: Mapping[str, str]) -> str | Unknown:
    """The two-letter code in `HPS_COUNTRY`, in capitals: no platform sets one for a container."""
    text = env.get(COUNTRY_NAME, "").strip()
    if not text:
        return Unknown(reason=f"{COUNTRY_NAME} is not set")
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        return Unknown(reason=f"{COUNTRY_NAME} is not a two-letter code of a country")
    return text.upper()


def cpu_model(root: Path = Path("/")) -> str | None:
    """The CPU's name from `proc/cpuinfo`; None on machines that do not have it there."""
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
