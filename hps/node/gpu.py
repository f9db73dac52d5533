"""The GPUs of this machine as torch sees them, else as NVML does. No GPU is a fact, no error."""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hps.errors import describe
from hps.model import Reading, known, unknown

# Of NVIDIA's driver, on its small boards, under Windows' Linux; of AMD's driver.
_DEVICES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")
_NO_DEVICE = f"the system has none of the devices {', '.join(f'/dev/{name}' for name in _DEVICES)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU. `compute_capability` is like `8.9`."""

    name: str
    memory_bytes: int
    compute_capability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What could be seen of GPUs, and with what.

    `looked` is False where neither torch nor NVML could look: then there may be GPUs although
    `gpus` is empty. `reason` is what is missing and why; empty where torch and NVML both work.
    """

    torch_version: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    looked: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one library sees. `gpus` None: it could not look."""

    gpus: tuple[Gpu, ...] | None = None
    version: str | None = None
    cuda_version: str | None = None
    driver_version: str | None = None
    reason: str = ""


def find_gpus(devices: Path = Path("/dev")) -> GpuFacts:
    """Look by torch and NVML, where the system has the device of any GPU. Never raises.

    Importing torch takes seconds, and half a GiB for as long as this program runs.
    """
    if not any(path for pattern in _DEVICES for path in devices.glob(pattern)):
        return GpuFacts(torch_version=_installed_version("torch"), looked=True, reason=_NO_DEVICE)
    torch, nvml = _look("torch", _through_torch), _look("pynvml", _through_nvml)
    return GpuFacts(
        torch_version=torch.version,
        cuda_version=torch.cuda_version,
        driver_version=nvml.driver_version,
        gpus=torch.gpus or nvml.gpus or (),
        looked=torch.gpus is not None or nvml.gpus is not None,
        reason="; ".join(view.reason for view in (torch, nvml) if view.reason),
    )


def memory_reading(facts: GpuFacts) -> Reading:
    """Bytes of the largest GPU; 0 where it is certain that none works; else unknown."""
    if facts.gpus:
        return known(max(gpu.memory_bytes for gpu in facts.gpus))
    if facts.looked:
        return Reading(value=0, reason=f"no GPU: {facts.reason}")
    return unknown(facts.reason)


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _look(module_name: str, through: Callable[[ModuleType], _View]) -> _View:
    try:
        with warnings.catch_warnings(record=True):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        needed = "" if error.name in {None, module_name} else f", which {module_name} needs,"
        return _View(reason=f"{error.name or module_name}{needed} is not installed")
    except Exception as error:
        # A damaged installation can raise anything: missing libraries, wrong versions, …
        return _View(reason=f"{module_name} does not import: {describe(error)}")
    return through(module)


def _through_torch(torch: ModuleType) -> _View:
    version = str(getattr(torch, "__version__", "")) or None
    try:
        cuda_version = torch.version.cuda
        if cuda_version is None and getattr(torch.version, "hip", None) is None:
            return _View(version=version, reason="torch: built without GPU support")
        gpus, warned = _cuda_devices(torch)
    except Exception as error:
        # The driver's errors reach Python as several kinds, and differ by version.
        return _View(version=version, reason=f"torch: {describe(error)}")
    reason = "" if gpus else f"torch: sees no GPU{warned}"
    return _View(version=version, cuda_version=cuda_version, gpus=gpus, reason=reason)


def _cuda_devices(torch: ModuleType) -> tuple[tuple[Gpu, ...], str]:
    """The devices, and torch's warnings, for example of an old driver."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = tuple(_torch_gpu(torch.cuda.get_device_properties(index)) for index in range(count))
    return gpus, "".join(f", {str(warning.message)[:200]}" for warning in caught)


def _torch_gpu(properties: Any) -> Gpu:
    return Gpu(
        name=str(properties.name),
        memory_bytes=int(properties.total_memory),
        compute_capability=f"{properties.major}.{properties.minor}",
    )


def _through_nvml(nvml: ModuleType) -> _View:
    try:
        nvml.nvmlInit()
    except Exception as error:
        # These two mean that there is no driver, so no GPU that works; others prove nothing.
        absent = type(error).__name__ in {"NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded"}
        return _View(gpus=() if absent else None, reason=f"NVML: {describe(error)}")
    try:
        return _nvml_view(nvml)
    except Exception as error:
        return _View(reason=f"NVML: {describe(error)}")
    finally:
        nvml.nvmlShutdown()


def _nvml_view(nvml: ModuleType) -> _View:
    gpus = tuple(_nvml_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    return _View(gpus=gpus, driver_version=_text(nvml.nvmlSystemGetDriverVersion()))


def _nvml_gpu(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        compute_capability=f"{major}.{minor}",
    )


def _text(value: bytes | str) -> str:
    """Older versions of NVML's library return bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
