"""What the tables say of some inputs, in few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hps.results import tables


def ask(query: str, *inputs: Path) -> list[tuple[Any, ...]]:
    """The rows of a query over the tables of these inputs."""
    with tables.opened(inputs) as opened:
        return opened.connection.execute(query).fetchall()


def one(query: str, *inputs: Path) -> Any:
    """The only value of the only row."""
    (row,) = ask(query, *inputs)
    (value,) = row
    return value


def skipped(*inputs: Path) -> dict[str, str]:
    """What is passed over, by file name."""
    with tables.opened(inputs) as opened:
        return {Path(path).name: why for path, why in opened.skipped.items()}


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, *records: object) -> Path:
    """A file with these records; bytes are written as they are, without a line end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(
            record if isinstance(record, bytes) else json.dumps(record).encode() + b"\n"
            for record in records
        )
    )
    return path
