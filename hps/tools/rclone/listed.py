"""What rclone lists in a bucket: objects, and multipart uploads that were never completed.

Names may be anybody's and of any kind; they are read, and never put into a command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hps.tools.rclone.remote import Remote


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object or upload. `at` is when the server received it, or when the upload began."""

    key: str
    at: datetime | None
    size_bytes: int = 0


def objects(path: Path) -> Iterator[Listed]:
    """The answer to `rclone.list_objects` in a file; keys are below the listed folder.

    Raises `ValueError` at its end where it is not whole: rclone doesn't say that a disk was full.
    """
    entry = ""
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            entry = line.strip().rstrip(",")
            if entry not in {"", "[", "]"}:
                found = json.loads(entry)
                yield Listed(
                    key=str(found["Path"]),
                    at=_moment(found.get("ModTime")),
                    size_bytes=int(found["Size"]),
                )
    if entry != "]":
        raise ValueError("the list has no end")


def is_object(path: Path) -> bool:
    """True where the answer to `rclone.look_for`, in a file, names an object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("IsDir") is False


def uploads(path: Path, remote: Remote) -> list[Listed]:
    """The answer to `rclone.list_uploads` in a file; keys are below the target's folder.

    Keys of uploads elsewhere in the bucket, which a server may add, begin with a slash. Raises
    `ValueError` where the answer is not whole.
    """
    bucket, _, folder = remote.root.partition("/")
    prefix = f"{folder}/" if folder else ""
    found = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    return [
        Listed(key=_below(prefix, upload.get("Key")), at=_moment(upload.get("Initiated")))
        for upload in found.get(bucket) or ()
    ]


def _below(prefix: str, key: object) -> str:
    if not isinstance(key, str):
        raise ValueError("an upload without a key")
    return key.removeprefix(prefix) if key.startswith(prefix) else f"/{key}"


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
