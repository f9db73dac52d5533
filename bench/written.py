"""`bench/RESULTS.md`: each program puts its last full tables there, under a heading of its own.

`bench/raw` holds what long measurements are made of, so that their tables can be made again.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from hps import __version__
from hps.tools.rclone import command

RESULTS = Path(__file__).with_name("RESULTS.md")
RAW = Path(__file__).with_name("raw")
_TOP = "# Results\n\nWritten by the programs in this folder, never by hand.\n"


def machine() -> str:
    """Date, versions and the machine's size, for the line below a heading."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, "
        f"{memory_bytes / 1024**3:.0f} GiB, {platform.machine()}, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, "
        f"rclone {command.read_version(command.find_binary(os.environ))}, hps {__version__}."
    )


def write(title: str, text: str) -> None:
    """Put `text` below `## <title>`, in place of what is there, else at the end."""
    heading = f"## {title}"
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else _TOP
    section = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    whole = f"{heading}\n\n{text.strip()}\n"
    new = section.sub(lambda _: f"{whole}\n", old, count=1)
    if section.search(old) is None:
        new = f"{old.rstrip()}\n\n{whole}"
    _put(RESULTS, new.rstrip() + "\n")


def write_raw(name: str, entries: Iterable[Mapping[str, object]]) -> None:
    """Put what a table was made of into a file of `bench/raw`, one JSON object a line."""
    lines = [json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries]
    RAW.mkdir(exist_ok=True)
    _put(RAW / name, "\n".join(lines) + "\n")


def _put(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
