"""Payloads: their shape, and the files that were made in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.model import Knobs

_NESTED_FOLDERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The properties by which two payloads are the same."""

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
        """The name of the payload's folder, unique among shapes."""
        return f"{self.content}-{self.files}x{self.size_bytes}-{self.layout}"

    def on_disk_bytes(self, block_bytes: int) -> int:
        """The space of the files on a disk, where each file begins a new block."""
        return self.files * -(-self.size_bytes // block_bytes) * block_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Files on disk under `folder`, and the SHA-256 of each by its name."""

    shape: Shape
    folder: Path
    sha256: Mapping[str, str] = field(repr=False)

    @property
    def single_file(self) -> Path:
        """The path of the payload's first file, for a payload that has just one."""
        return self.folder / self.shape.names[0]


def shape_of(knobs: Knobs) -> Shape:
    """The payload that a cell moves."""
    return Shape(
        size_bytes=knobs.size_bytes,
        files=knobs.files,
        content=knobs.content,
        layout=knobs.layout,
    )
