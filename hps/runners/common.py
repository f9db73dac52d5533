"""What the runners share: their arguments, the files that are meant, and what they report.

A report is a line of JSON on standard output: one for each request with payload once it is over,
where the library shows them, and one for each file. `sent_s` and `ended_s` are of a clock that
nobody sets, `sent_at` is the time of day at which it was sent first. What went wrong is one on
standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_RETRIES = 2
_MOST_CAUSES = 10
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyTask:
    """What is to be copied, and how. `path` is a file; of a `folder`, `key` is the prefix.

    `streams` is how many requests may be in flight; with `files_at_once` those are of as many
    files, else one file comes after the other. None: the library's own.
    """

    way: Literal["up", "down"]
    bucket: str
    key: str
    path: Path
    chunk_bytes: int | None
    streams: int | None
    folder: bool
    files_at_once: bool
    host_style: bool
    unsigned: bool
    checksum: bool | None
    http2: bool | None


def parse_arguments(description: str) -> CopyTask:
    """The task that the command line describes; `--help` explains it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("way", choices=["up", "down"])
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--key", required=True, help="of the object; of a folder, the prefix")
    parser.add_argument("--path", required=True, type=Path, help="the file, or the folder")
    parser.add_argument("--chunk-bytes", type=int, help="of a part, or a range")
    parser.add_argument("--streams", type=int, help="requests in flight")
    for name, text in (
        ("folder", "all files below the folder"),
        ("files-at-once", "as many files at once as there are streams, each on one"),
        ("host-style", "the bucket in the host's name, not in the path"),
        ("unsigned", "without keys"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for name, text in (
        ("checksum", "send checksums that the server compares"),
        ("http2", "by HTTP/2, where the library can"),
    ):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)
    return CopyTask(**vars(parser.parse_args()))


def pairs(task: CopyTask, list_keys: Callable[[], Iterable[str]]) -> Iterator[tuple[str, Path]]:
    """Each object's key and its file here; `list_keys` lists those below the prefix of a folder."""
    if not task.folder:
        task.path.parent.mkdir(parents=True, exist_ok=True)
        yield task.key, task.path
    elif task.way == "up":
        for path in sorted(path for path in task.path.rglob("*") if path.is_file()):
            yield f"{task.key}/{path.relative_to(task.path).as_posix()}", path
    else:
        for key in list_keys():
            path = task.path / key.removeprefix(f"{task.key}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            yield key, path


def report(**line: object) -> None:
    """Write one line, whole, from whatever thread."""
    with _LOCK:
        print(json.dumps(line), flush=True)


def report_file(path: Path) -> None:
    """A file that is complete, with its length."""
    report(file=str(path), bytes=path.stat().st_size)


def report_failure(
    error: Exception | None = None,
    *,
    status: int = 0,
    code: str = "",
    message: str = "",
    call: str = "",
    request: str = "",
) -> int:
    """A refusal by its status, code and call of the S3 API, or else an exception; the exit code."""
    line = {
        "kinds": _kinds(error),
        "message": message or str(error or ""),
        "status": status,
        "error": code,
        "call": call,
        "request": request,
    }
    print(json.dumps(line), file=sys.stderr)
    return 1


def _kinds(error: BaseException | None) -> list[str]:
    """The class and, of the innermost, the text of an error and of those that it comes from."""
    kinds: list[str] = []
    while error is not None and len(kinds) < _MOST_CAUSES:
        kinds.append(type(error).__name__)
        inner = error.__cause__ or error.__context__
        if inner is None:
            kinds.append(str(error))
        error = inner
    return kinds
