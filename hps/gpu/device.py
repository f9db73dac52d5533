"""The device that bytes are loaded to, and its memory: the GPU that torch sees, else the CPU."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import psutil

from hps.catalog.failures import failure, of_system
from hps.errors import describe
from hps.model import Failure
from hps.process import cgroup
from hps.units import format_size_rounded

NO_TORCH = "torch is not installed: pip install 'hps[gpu]'"


class DeviceError(Exception):
    """Why the bytes could not be put on the device: the failure of a result."""

    def __init__(self, why: Failure) -> None:
        super().__init__(why.text)
        self.failure = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as torch sees it. `name` is `cpu`, or `cuda:0 NVIDIA …`.

    `handle` is a `torch.device`; tensors here are one-dimensional, of bytes.
    """

    torch: ModuleType = field(repr=False)
    handle: Any = field(repr=False)
    name: str

    @property
    def is_cuda(self) -> bool:
        """True for a GPU; False where the CPU stands in for one."""
        return bool(self.handle.type == "cuda")

    def memory_bytes(self) -> tuple[int, int]:
        """Free and total memory, as far as this process may use it."""
        if self.is_cuda:
            self.torch.cuda.empty_cache()  # what torch keeps for later use is free as well
            free_bytes, total_bytes = self.torch.cuda.mem_get_info(self.handle)
            return int(free_bytes), int(total_bytes)
        host = psutil.virtual_memory()
        total_bytes = cgroup.memory_total_bytes() or host.total
        return min(host.available, total_bytes), total_bytes

    def allocate(self, size_bytes: int) -> Any:
        """Memory on the device that has been written to once, so that every page is there.

        Raises `DeviceError` with both figures where there is not enough.
        """
        free_bytes, _ = self.memory_bytes()
        if size_bytes > free_bytes:
            text = (
                f"not enough memory on {self.name}: the files take "
                f"{format_size_rounded(size_bytes)}, {format_size_rounded(free_bytes)} is free"
            )
            raise DeviceError(failure("out_of_memory", text, hint=""))
        return self._empty(size_bytes, device=self.handle).zero_()

    def buffer(self, size_bytes: int, *, page_locked: bool) -> Any:
        """Memory of the host, written to once. Page-locked memory is for GPUs alone."""
        return self._empty(size_bytes, pin_memory=page_locked and self.is_cuda).zero_()

    def facts(self) -> dict[str, object]:
        """What a result says of the device."""
        return {"device": self.name, "device_memory_bytes": self.memory_bytes()[1]}

    def wait(self) -> None:
        """Until everything that was started on the device has been done."""
        if self.is_cuda:
            self.torch.cuda.synchronize(self.handle)

    def _empty(self, size_bytes: int, **options: object) -> Any:
        return self.torch.empty(size_bytes, dtype=self.torch.uint8, **options)


@contextlib.contextmanager
def opened() -> Iterator[Device]:
    """The device, initialised, for a `with` block.

    Whatever torch or a file raises within the block, out of memory too, becomes a `DeviceError`.
    """
    torch = _import_torch()
    try:
        yield _open(torch)
    except (RuntimeError, OSError, MemoryError) as error:
        raise DeviceError(_failure(error)) from error


def gb_per_s(size_bytes: int, duration_s: float) -> float:
    """10^9 bytes a second, as buses and memories are rated."""
    return round(size_bytes / 1e9 / duration_s, 3)


def _failure(error: BaseException) -> Failure:
    """Of a file, of memory, or of the device."""
    if isinstance(error, OSError):
        return of_system(error, "")
    # torch's own error is known by its name: torch may not be there to compare with.
    full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return failure("out_of_memory" if full else "no_device", describe(error), hint="")


def _import_torch() -> ModuleType:
    try:
        with warnings.catch_warnings(record=True):
            return importlib.import_module("torch")
    except ModuleNotFoundError as error:
        missing = "" if error.name == "torch" else f" ({error.name} is missing)"
        raise DeviceError(failure("tool_missing", NO_TORCH + missing)) from error
    except Exception as error:
        # A damaged installation can raise anything: missing libraries, wrong versions, …
        text = f"torch does not import: {describe(error)}"
        raise DeviceError(failure("tool_missing", text)) from error


def _open(torch: ModuleType) -> Device:
    with warnings.catch_warnings(record=True):  # of old drivers: the CPU is used, and named
        if not torch.cuda.is_available():
            return Device(torch=torch, handle=torch.device("cpu"), name="cpu")
    index = torch.cuda.current_device()
    name = f"cuda:{index} {torch.cuda.get_device_name(index)}"
    device = Device(torch=torch, handle=torch.device("cuda", index), name=name)
    device.allocate(1)  # the first use of a GPU takes long, and must not be timed
    device.wait()
    return device
