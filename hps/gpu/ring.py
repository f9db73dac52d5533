"""From files to the device: through a ring of buffers, one filled while another is copied."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

from hps.gpu.device import Device

# -------------------------------------------------------------------------------------------------
# Filling memory from a file, with several threads where one can't keep up with a GPU's bus.

# Below this a second thread costs more than it brings.
_LEAST_BYTES_PER_THREAD = 1024**2


def pieces(start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """`start` to `stop` in pieces of `most`; the last one may be smaller."""
    for first in range(start, stop, most):
        yield first, min(first + most, stop)


def fill(view: memoryview, descriptor: int, offset: int, pool: Executor, threads: int) -> None:
    """Read `len(view)` bytes that begin at `offset` of an open file.

    Raises `OSError`; the file being too short is one.
    """
    share = max(-(-len(view) // threads), _LEAST_BYTES_PER_THREAD)
    if share >= len(view):
        _read(view, descriptor, offset)
        return
    jobs = [
        pool.submit(_read, view[first:last], descriptor, offset + first)
        for first, last in pieces(0, len(view), share)
    ]
    for job in jobs:
        job.result()


def _read(view: memoryview, descriptor: int, offset: int) -> None:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise OSError(f"the file ends after {offset + done} bytes")
        done += count


# -------------------------------------------------------------------------------------------------

# A single thread reads more slowly than the bus of a GPU takes in.
READERS = min(4, os.cpu_count() or 1)


@dataclass(slots=True)
class _Slot:
    """One buffer, its bytes as Python sees them, and the end of the last copy from it."""

    buffer: Any
    view: memoryview
    copied: Any = None


class Copier(Protocol):
    """Copies ranges of files into memory of the device. For one thread at a time."""

    def copy(
        self,
        descriptor: int,
        offset: int,
        into: Any,
        check: Callable[[], None],
        *,
        threads: int = 1,
    ) -> None:
        """Start to copy as many bytes as `into` holds from `offset` of an open file.

        `threads` read it; `check` is called between pieces, and may raise. Raises `OSError` where
        the file can't be read, `RuntimeError` where the device does not take it.
        """

    def drain(self) -> None:
        """Until the last byte is on the device."""


class Ring:
    """A `Copier` by way of buffers.

    On a GPU copies run on a stream of their own, and a buffer is filled again only once the copy
    from it has ended. On the CPU they are done when the call returns.
    """

    def __init__(self, device: Device, buffers: list[Any], pool: Executor) -> None:
        self._device = device
        self._slots = cycle([_Slot(buffer, bytes_of(buffer)) for buffer in buffers])
        self._size_bytes = int(buffers[0].numel())
        self._pool = pool
        self._stream = device.torch.cuda.Stream(device.handle) if device.is_cuda else None

    def copy(
        self,
        descriptor: int,
        offset: int,
        into: Any,
        check: Callable[[], None],
        *,
        threads: int = 1,
    ) -> None:
        """Piece by piece, each by way of the buffer that was filled longest ago."""
        for first, last in pieces(0, int(into.numel()), self._size_bytes):
            check()
            slot = next(self._slots)
            if slot.copied is not None:
                slot.copied.synchronize()
            view = slot.view[: last - first]
            fill(view, descriptor, offset + first, self._pool, threads)
            self._start(slot, into[first:last])

    def drain(self) -> None:
        """Until the last byte is on the device."""
        if self._stream is not None:
            self._stream.synchronize()

    def _start(self, slot: _Slot, into: Any) -> None:
        source = slot.buffer[: into.numel()]
        if self._stream is None:
            # One thread, as for a GPU: torch would use all cores, beside a tool that needs them.
            ctypes.memmove(into.data_ptr(), source.data_ptr(), source.numel())
            return
        cuda = self._device.torch.cuda
        with cuda.stream(self._stream):
            into.copy_(source, non_blocking=True)
            # A blocking event sleeps where another would spin, beside a tool that needs the CPU.
            slot.copied = slot.copied or cuda.Event(blocking=True)
            slot.copied.record(self._stream)


class Straight:
    """A `Copier` without buffers: the CPU's own memory can be read into."""

    def __init__(self, size_bytes: int, pool: Executor) -> None:
        self._size_bytes, self._pool = size_bytes, pool

    def copy(
        self,
        descriptor: int,
        offset: int,
        into: Any,
        check: Callable[[], None],
        *,
        threads: int = 1,
    ) -> None:
        """Piece by piece, each read to its place."""
        for first, last in pieces(0, int(into.numel()), self._size_bytes):
            check()
            fill(bytes_of(into[first:last]), descriptor, offset + first, self._pool, threads)

    def drain(self) -> None:
        """Nothing is ever on its way."""


@contextlib.contextmanager
def shortest(device: Device, size_bytes: int, *, slots: int) -> Iterator[Copier]:
    """The shortest way to the device: page-locked buffers to a GPU, none to the CPU's memory."""
    if device.is_cuda:
        with opened(device, size_bytes, slots=slots, page_locked=True) as ring:
            yield ring
        return
    with ThreadPoolExecutor(READERS) as pool:
        yield Straight(size_bytes, pool)


@contextlib.contextmanager
def opened(device: Device, size_bytes: int, *, slots: int, page_locked: bool) -> Iterator[Ring]:
    """A ring of `slots` buffers of `size_bytes` for a `with` block.

    The device may be reading the buffers until the block has ended: it is waited for.
    """
    buffers = [device.buffer(size_bytes, page_locked=page_locked) for _ in range(slots)]
    with ThreadPoolExecutor(READERS) as pool:
        device.wait()
        try:
            yield Ring(device, buffers, pool)
        finally:
            device.wait()


def bytes_of(buffer: Any) -> memoryview:
    """The bytes of a tensor, without a copy; valid for as long as the tensor is held."""
    array = (ctypes.c_uint8 * buffer.numel()).from_address(buffer.data_ptr())
    return memoryview(array).cast("B")
