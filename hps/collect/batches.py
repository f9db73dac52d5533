"""Many files of JSON lines as few large ones, since the database takes milliseconds for each file.

Every line is put into an object beside the numbers of its file and of itself, from 1:
`{"<mark>":[7,1],"line":…}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hps.collect.files import StoredFile

LONGEST_LINE_BYTES = 16 * 1024**2
_BATCH_BYTES = 128 * 1024**2
_BLOCK_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of files, by name: how many lines they have, or why they can't be read."""

    lines: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def written(files: Mapping[int, StoredFile], batch: Path, mark: str, seen: Seen) -> Iterator[None]:
    """Fill the file `batch` again and again, and yield each time that it is to be read.

    Lines that are too long are empty there.
    """
    with batch.open("wb") as out:
        for number, file in files.items():
            head = b'{"%s":[%d,' % (mark.encode(), number)
            seen.lines[file.name] = 0
            for block in _blocks_of(file, seen):
                lines = block.split(b"\n")
                first = seen.lines[file.name] + 1
                out.writelines(
                    b'%b%d],"line":%b}\n' % (head, at, line) for at, line in enumerate(lines, first)
                )
                seen.lines[file.name] += len(lines)
                if out.tell() >= _BATCH_BYTES:
                    yield from _full(out)
        yield from _full(out)


def _full(out: BinaryIO) -> Iterator[None]:
    out.flush()
    yield
    out.seek(0)
    out.truncate()


def _blocks_of(file: StoredFile, seen: Seen) -> Iterator[bytes]:
    try:
        with open(file.path, "rb", buffering=0) as stream:  # noqa: PTH123 - there are thousands
            for block in _blocks(stream, min(_BLOCK_BYTES, file.size_bytes + 1)):
                yield _short_lines(block)
    except OSError as error:
        seen.refused[file.name] = str(error.strerror)


def _blocks(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Whole lines, less the last one's end; of one far too long only as much as shows that."""
    rest = b""
    while block := stream.read(size_bytes):
        end = block.rfind(b"\n")
        if end >= 0:
            yield rest + block[:end]
            rest = block[end + 1 :]
        elif len(rest) <= LONGEST_LINE_BYTES:
            rest += block
    if rest:
        yield rest


def _short_lines(block: bytes) -> bytes:
    if len(block) <= LONGEST_LINE_BYTES:
        return block
    lines = block.split(b"\n")
    return b"\n".join(line if len(line) <= LONGEST_LINE_BYTES else b"" for line in lines)
