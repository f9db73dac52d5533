"""Machines with and without GPUs are played by small modules that are really imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from hps.node.gpu import Gpu, GpuFacts, find_gpus, memory_reading

GIB = 1024**3
RTX = Gpu(name="RTX 4090", memory_bytes=24 * GIB, compute_capability="8.9")
TORCH_WITH_GPU = """
    from types import SimpleNamespace as N
    __version__ = "2.9.0+cu128"
    version = N(cuda="12.8", hip=None)
    _gpu = N(name="RTX 4090", total_memory=24 * 1024**3, major=8, minor=9)
    cuda = N(is_available=lambda: True, device_count=lambda: 1,
             get_device_properties=lambda index: _gpu)
"""
TORCH_WITHOUT_GPU = """
    import warnings
    from types import SimpleNamespace as N
    __version__ = "2.9.0+cu128"
    version = N(cuda="12.8", hip=None)
    def is_available():
        warnings.warn("The NVIDIA driver on your system is too old")
        return False
    cuda = N(is_available=is_available, device_count=lambda: 0)
"""
TORCH_CPU_ONLY = """
    from types import SimpleNamespace as N
    __version__ = "2.9.0+cpu"
    version = N(cuda=None, hip=None)
"""
TORCH_THAT_FAILS_LATE = """
    from types import SimpleNamespace as N
    __version__ = "2.9.0+cu128"
    version = N(cuda="12.8", hip=None)
    def is_available():
        raise RuntimeError("CUDA unknown error\\nand more")
    cuda = N(is_available=is_available)
"""
TORCH_DAMAGED = 'raise OSError("libcudart.so.12: cannot open shared object file")'
NVML_WITH_GPU = """
    from types import SimpleNamespace as N
    ended = 0
    def nvmlInit(): pass
    def nvmlShutdown():
        global ended
        ended += 1
    def nvmlDeviceGetCount(): return 1
    def nvmlDeviceGetHandleByIndex(index): return index
    def nvmlDeviceGetCudaComputeCapability(handle): return (8, 9)
    def nvmlDeviceGetName(handle): return b"RTX 4090"
    def nvmlDeviceGetMemoryInfo(handle): return N(total=24 * 1024**3)
    def nvmlSystemGetDriverVersion(): return "570.86"
"""
NVML_WITHOUT_DRIVER = """
    class NVMLError_LibraryNotFound(Exception): pass
    def nvmlInit(): raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")
"""
NVML_FORBIDDEN = """
    class NVMLError_NoPermission(Exception): pass
    def nvmlInit(): raise NVMLError_NoPermission("Insufficient Permissions")
"""


class Machine:
    """A folder of modules that come before all others; `None` hides a module."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(folder))
        self.devices = folder / "dev"
        self.devices.mkdir()
        (self.devices / "nvidiactl").touch()

    def install(self, torch: str | None, pynvml: str | None) -> None:
        for name, text in {"torch": torch, "pynvml": pynvml}.items():
            self.monkeypatch.delitem(sys.modules, name, raising=False)
            missing = f"raise ModuleNotFoundError('gone', name='{name}')"
            (self.folder / f"{name}.py").write_text(dedent(text or missing), encoding="utf-8")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Machine(tmp_path, monkeypatch)
    for name in ("torch", "pynvml"):
        sys.modules.pop(name, None)


def test_torch_tells_everything(machine: Machine) -> None:
    machine.install(TORCH_WITH_GPU, NVML_WITH_GPU)
    facts = find_gpus(machine.devices)
    assert facts == GpuFacts(
        torch_version="2.9.0+cu128",
        cuda_version="12.8",
        driver_version="570.86",
        gpus=(RTX,),
        looked=True,
        reason="",
    )
    assert memory_reading(facts).value == 24 * GIB
    assert sys.modules["pynvml"].ended == 1


def test_nvml_alone_will_do(machine: Machine) -> None:
    machine.install(None, NVML_WITH_GPU)
    facts = find_gpus(machine.devices)
    assert (facts.gpus, facts.driver_version, facts.torch_version) == ((RTX,), "570.86", None)
    assert facts.reason == "torch is not installed"


def test_neither_library_makes_it_unknown(machine: Machine) -> None:
    machine.install(None, None)
    facts = find_gpus(machine.devices)
    assert (facts.gpus, facts.looked) == ((), False)
    assert facts.reason == "torch is not installed; pynvml is not installed"
    assert memory_reading(facts).value is None
    assert memory_reading(facts).reason == facts.reason


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        (TORCH_CPU_ONLY, "torch: built without GPU support"),
        (TORCH_THAT_FAILS_LATE, "torch: CUDA unknown error"),
        (TORCH_DAMAGED, "torch does not import: libcudart.so.12: cannot open"),
        ("import module_that_is_nowhere", "module_that_is_nowhere, which torch needs, is not"),
    ],
)
def test_a_torch_that_cannot_look_makes_it_unknown(
    machine: Machine, torch: str, reason: str
) -> None:
    machine.install(torch, NVML_FORBIDDEN)
    facts = find_gpus(machine.devices)
    assert facts.reason.startswith(reason)
    assert "NVML: Insufficient Permissions" in facts.reason
    assert memory_reading(facts).value is None


def test_a_machine_that_surely_has_no_gpu(machine: Machine) -> None:
    machine.install(None, NVML_WITHOUT_DRIVER)
    reading = memory_reading(find_gpus(machine.devices))
    assert reading.value == 0
    assert reading.reason.startswith("no GPU: torch is not installed; NVML: NVML Shared Library")


@pytest.mark.parametrize("device", ["nvidia0", "dxg", "kfd", "nvmap"])
def test_without_a_device_torch_is_not_even_imported(machine: Machine, device: str) -> None:
    machine.install(TORCH_WITH_GPU, NVML_WITH_GPU)
    (machine.devices / "nvidiactl").unlink()
    (machine.devices / "null").touch()
    facts = find_gpus(machine.devices)
    assert (facts.gpus, facts.looked) == ((), True)
    assert "none of the devices /dev/nvidia*" in facts.reason
    assert memory_reading(facts).value == 0
    assert not {"torch", "pynvml"} & set(sys.modules)
    (machine.devices / device).touch()
    assert find_gpus(machine.devices).gpus == (RTX,)


def test_torchs_warning_is_the_reason(machine: Machine) -> None:
    machine.install(TORCH_WITHOUT_GPU, None)
    facts = find_gpus(machine.devices)
    assert facts.looked
    assert "torch: sees no GPU, The NVIDIA driver on your system is too old" in facts.reason
    assert memory_reading(facts).value == 0
