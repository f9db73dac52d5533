"""A name for this machine that stays the same from run to run."""

from __future__ import annotations

import hashlib
import re
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

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
    """`text` with every other character as `_`; empty where nothing is left."""
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
