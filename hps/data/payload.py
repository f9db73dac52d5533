"""Makes payloads, the files that are moved: once per shape, before anything is timed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from hps.data.limit import Limit, LimitError
from hps.data.shape import Payload, Shape, shape_of
from hps.errors import MachineError
from hps.model import Operation
from hps.process import process
from hps.tools.files import make_files
from hps.units import format_size_rounded, format_time

_FILES_PER_CALL = 500
_BLOCK_BYTES = 4 * 1024**2
# Far slower than any disk of use for measurements.
_SLOWEST_BYTES_PER_S = 5e6
_HINT = "make room there, name a folder on another disk in TMPDIR, or make 'data' smaller"


def make(
    shape: Shape, parent: Path, binary: str, guard: process.Guard, limit: Limit | None = None
) -> Payload:
    """Write a payload in a folder of its own under `parent`, and hash it.

    Raises `MachineError` where that is not possible, and `LimitError` as `limit` does.
    """
    folder = parent / shape.folder_name
    paths = [folder / name for name in shape.names]
    try:
        for place in {path.parent for path in paths}:
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(str(error.strerror), shape, parent) from error
    for start in range(0, len(paths), _FILES_PER_CALL):
        if limit is not None:
            limit.check()
        _make_files(shape, paths[start : start + _FILES_PER_CALL], parent, binary, guard, limit)
    sha256 = hash_files(folder, shape.names, limit)
    return Payload(shape=shape, folder=folder, sha256=sha256)


def make_all(
    operations: Iterable[Operation],
    parent: Path,
    binary: str,
    guard: process.Guard,
    stop: process.Stop,
    event: Callable[..., object],
) -> dict[Shape, Payload]:
    """Make every payload that operations move; fewer where the run is stopped.

    Raises `MachineError` where that is not possible: where they don't fit, before any is made.
    """
    moving = [operation for operation in operations if operation.requested is not None]
    shapes = tuple(dict.fromkeys(shape_of(operation.cell.knobs) for operation in moving))
    _check_room(shapes, moving, parent)
    made = {}
    for shape in shapes:
        if stop.is_set():
            break
        event("making_payload", **asdict(shape))
        try:
            made[shape] = make(shape, parent, binary, guard, Limit(stop=stop))
        except LimitError:
            break  # stopped: no operation will begin
    return made


def hash_files(folder: Path, names: tuple[str, ...], limit: Limit | None = None) -> dict[str, str]:
    """The SHA-256 of each of the named files that exists. Raises `LimitError` as `limit` does."""
    return {name: _sha256(folder / name, limit) for name in names if (folder / name).is_file()}


def _make_files(
    shape: Shape,
    paths: list[Path],
    parent: Path,
    binary: str,
    guard: process.Guard,
    limit: Limit | None,
) -> None:
    zeros = shape.content == "zeros"
    call = make_files(tuple(map(str, paths)), shape.size_bytes, zeros=zeros)
    timeout_s = 60 + shape.size_bytes * len(paths) / _SLOWEST_BYTES_PER_S
    log = parent / "make.log"
    ended = process.run(
        call.command(binary, {}),
        timeout_s=timeout_s,
        guard_process=guard,
        stderr=log,
        stop=limit.stop if limit else None,
    )
    if limit is not None:
        limit.check()
    if ended.ended == "timeout":
        raise _failed(f"it took longer than {format_time(timeout_s)}", shape, parent)
    if ended.returncode != 0 or any(path.stat().st_size != shape.size_bytes for path in paths):
        lines = log.read_text(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"{call.tool} ended with code {ended.returncode}"
        raise _failed(why, shape, parent)


def _check_room(shapes: Sequence[Shape], moving: Iterable[Operation], parent: Path) -> None:
    """Raises `MachineError` unless all payloads fit, with the largest of those downloaded again."""
    down = (shape_of(each.cell.knobs) for each in moving if each.direction == "down")
    copied = max(down, key=lambda shape: shape.size_bytes * shape.files, default=None)
    lacking = _lacking((*shapes, *((copied,) if copied else ())), parent)
    if lacking:
        raise MachineError(f"cannot make the payloads in {parent}: {lacking}", _HINT)


def _failed(why: str, shape: Shape, parent: Path) -> MachineError:
    """The error; on a full disk, where a tool can't write its log, with what the disk lacks."""
    why = _lacking((shape,), parent) or why
    return MachineError(f"cannot make the payload in {parent}: {why}", _HINT)


def _lacking(shapes: Sequence[Shape], parent: Path) -> str:
    """What the disk lacks for files of these shapes, counting those already there; or nothing."""
    disk = os.statvfs(next(place for place in (parent, *parent.parents) if place.exists()))
    folders = {parent / shape.folder_name for shape in shapes}
    there = [path.stat() for folder in folders for path in folder.rglob("*.bin")]
    needed_bytes = sum(shape.on_disk_bytes(disk.f_frsize) for shape in shapes)
    room_bytes = disk.f_bavail * disk.f_frsize + sum(512 * stat.st_blocks for stat in there)
    if needed_bytes > room_bytes or not disk.f_bavail:
        sizes = format_size_rounded(needed_bytes), format_size_rounded(room_bytes)
        return f"too little space on the disk: {sizes[0]} needed, {sizes[1]} free"
    files, most_files = sum(shape.files for shape in shapes), disk.f_favail + len(there)
    if disk.f_files and files > most_files:  # some file systems do not count them
        return f"too many files for the disk: {files:,} needed, {most_files:,} free"
    return ""


def _sha256(path: Path, limit: Limit | None) -> str:
    digest, block = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(memoryview(block)[:count])
            if limit is not None:
                limit.check()
    return digest.hexdigest()
