"""Loading files to the device by one of three methods: pageable, pinned, mmap.

    pageable   read into ordinary memory, copy, read the next chunk
    pinned     read into page-locked memory while the chunk before is being copied
    mmap       copy from the mapped file, which the driver reads page by page

A file that was written a moment ago is read from the page cache, by all three.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from hps.data.limit import LimitError
from hps.data.shape import Payload
from hps.gpu import ring
from hps.gpu.device import Device, DeviceError, opened
from hps.gpu.ring import bytes_of, pieces
from hps.model import Measurement
from hps.results.record import utc_text

DEFAULT_CHUNK_BYTES = 64 * 1024**2
DEFAULT_METHOD = "pinned"
METHODS = ("pageable", "pinned", "mmap")
_PINNED_BUFFERS = 2


class Load(Protocol):
    """Copy a whole file to the device; `into` is as long as the file has to be.

    What was started has ended only once the surrounding `loader` block waits for the device.
    """

    def __call__(self, path: Path, into: Any, check: Callable[[], None]) -> None: ...


@contextlib.contextmanager
def loader(device: Device, method: str, chunk_bytes: int) -> Iterator[Load]:
    """A way to load files chunk by chunk, with all its buffers made beforehand."""
    if method == "mmap":
        yield _Mapped(device, chunk_bytes)
        return
    pinned = method == "pinned"
    slots = _PINNED_BUFFERS if pinned else 1
    with ring.opened(device, chunk_bytes, slots=slots, page_locked=pinned) as buffers:
        yield _Buffered(buffers)


def readers(method: str) -> int:
    """How many threads read a chunk."""
    return 1 if method == "mmap" else ring.READERS


class _Buffered:
    def __init__(self, buffers: ring.Ring) -> None:
        self._buffers = buffers

    def __call__(self, path: Path, into: Any, check: Callable[[], None]) -> None:
        with path.open("rb", buffering=0) as stream:
            self._buffers.copy(stream.fileno(), 0, into, check, threads=ring.READERS)


class _Mapped:
    def __init__(self, device: Device, chunk_bytes: int) -> None:
        self._torch, self._chunk_bytes = device.torch, chunk_bytes

    def __call__(self, path: Path, into: Any, check: Callable[[], None]) -> None:
        size_bytes = int(into.numel())
        # Mapped privately: the file is opened for reading alone.
        source = self._torch.from_file(
            str(path), shared=False, size=size_bytes, dtype=self._torch.uint8
        )
        for first, last in pieces(0, size_bytes, self._chunk_bytes):
            check()
            into[first:last].copy_(source[first:last])


# -------------------------------------------------------------------------------------------------
# Is what lies on the device what was made? SHA-256 of each file, after a trip back to the host.

_BUFFER_BYTES = 16 * 1024**2


def difference(device: Device, memory: Any, payload: Payload, check: Callable[[], None]) -> str:
    """Which files on the device are not those of the payload; empty where all are.

    `memory` holds the files one after another. `check` is called between pieces, and may raise.
    """
    size_bytes, names = payload.shape.size_bytes, payload.shape.names
    buffer = device.buffer(min(_BUFFER_BYTES, size_bytes), page_locked=True)
    wrong = []
    for number, name in enumerate(names):
        file = memory[number * size_bytes : (number + 1) * size_bytes]
        if _sha256(file, buffer, check) != payload.sha256[name]:
            wrong.append(name)
    if not wrong:
        return ""
    return f"{len(wrong)} of {len(names)} files differ on {device.name}: {wrong[0]}"


def _sha256(file: Any, buffer: Any, check: Callable[[], None]) -> str:
    digest, view = hashlib.sha256(), bytes_of(buffer)
    for first, last in pieces(0, int(file.numel()), int(buffer.numel())):
        check()
        buffer[: last - first].copy_(file[first:last])  # returns when the bytes are there
        digest.update(view[: last - first])
    return digest.hexdigest()


# -------------------------------------------------------------------------------------------------
# Measuring something on the device so that it never raises: whatever goes wrong is a result.


def measured(measure: Callable[[Device], Measurement]) -> Measurement:
    """What `measure` says of its work on the device, else why there is nothing to say."""
    started_at = utc_text(datetime.now(UTC))
    try:
        with opened() as device:
            return measure(device)
    except DeviceError as error:
        return Measurement(status="failed", failure=error.failure, started_at=started_at)
    except LimitError as error:
        return Measurement(status=error.status, failure=error.failure, started_at=started_at)
