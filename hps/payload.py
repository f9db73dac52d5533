"""Payloads: the files that are moved, made once per shape before anything is timed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hps import process
from hps.errors import MachineError
from hps.limit import Limit, LimitError
from hps.model import Knobs, Operation
from hps.tools import rclone

_NESTED_FOLDERS = 10
_FILES_PER_CALL = 500
_BLOCK_BYTES = 4 * 1024**2
# Far slower than any disk that could be worth measuring from.
_SLOWEST_BYTES_PER_S = 5e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What makes two payloads the same."""

    size_bytes: int
    files: int
    content: str
    layout: str

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the files within the payload's folder."""
        width = len(str(self.files - 1))
        names = (f"{number:0{width}d}.bin" for number in range(self.files))
        if self.layout == "flat":
            return tuple(names)
        return tuple(f"{n % _NESTED_FOLDERS}/{name}" for n, name in enumerate(names))

    @property
    def folder_name(self) -> str:
        """Unique among shapes, and readable."""
        return f"{self.content}-{self.files}x{self.size_bytes}-{self.layout}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Files on disk under `folder`, and the SHA-256 of each by its name."""

    shape: Shape
    folder: Path
    sha256: Mapping[str, str] = field(repr=False)

    @property
    def single_file(self) -> Path:
        """The file of a payload that has just one."""
        return self.folder / self.shape.names[0]


def shape_of(knobs: Knobs) -> Shape:
    """The payload that a cell moves."""
    return Shape(
        size_bytes=knobs.size_bytes,
        files=knobs.files,
        content=knobs.content,
        layout=knobs.layout,
    )


def make(
    shape: Shape, parent: Path, binary: str, guard: process.Guard, limit: Limit | None = None
) -> Payload:
    """Write a payload in a folder of its own under `parent`.

    Raises `MachineError` where it can't, and `LimitError` where it has to end before it is done.
    """
    folder = parent / shape.folder_name
    paths = [folder / name for name in shape.names]
    for place in {path.parent for path in paths}:
        place.mkdir(parents=True, exist_ok=True)
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
    """Every payload that operations move; fewer where the run is stopped. Raises `MachineError`."""
    moving = (operation for operation in operations if operation.requested is not None)
    made = {}
    for shape in dict.fromkeys(shape_of(operation.cell.knobs) for operation in moving):
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
    call = rclone.make_files(tuple(map(str, paths)), shape.size_bytes, zeros=zeros)
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
    if ended.returncode != 0 or any(path.stat().st_size != shape.size_bytes for path in paths):
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or [ended.ended]
        raise MachineError(f"cannot make the payload in {parent}: {last[0]}", "is the disk full?")


def _sha256(path: Path, limit: Limit | None) -> str:
    digest, block = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(memoryview(block)[:count])
            if limit is not None:
                limit.check()
    return digest.hexdigest()
