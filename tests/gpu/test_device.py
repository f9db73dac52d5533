"""The device: named, measured, and never the end of a run."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from hps.data.shape import Payload, Shape
from hps.gpu import device, loading

torch = pytest.importorskip("torch", exc_type=ImportError)


def test_the_device_says_what_it_is() -> None:
    with device.opened() as opened:
        free_bytes, total_bytes = opened.memory_bytes()
        assert (
            opened.name.startswith("cuda:") if torch.cuda.is_available() else opened.name == "cpu"
        )
        assert 0 < free_bytes <= total_bytes
        assert opened.facts() == {"device": opened.name, "device_memory_bytes": total_bytes}


def test_too_little_memory_is_told_with_both_figures_before_any_is_taken() -> None:
    with (
        pytest.raises(device.DeviceError, match=r"the files take 512 TiB, \d.* [GM]iB is free"),
        device.opened() as opened,
    ):
        opened.allocate(512 * 1024**4)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA error: an illegal memory access\nmore"), "CUDA error: an illegal"),
        (MemoryError(), "MemoryError"),
        (FileNotFoundError(2, "No such file", "/x/0.bin"), "No such file: /x/0.bin"),
    ],
)
def test_an_error_on_the_device_is_a_reason(error: Exception, reason: str) -> None:
    with pytest.raises(device.DeviceError) as caught, device.opened():
        raise error
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_an_error_of_torch_itself_is_a_reason() -> None:
    with pytest.raises(device.DeviceError), device.opened() as opened:
        opened.allocate(10).view(3, 3)


@pytest.mark.parametrize("method", loading.METHODS)
def test_every_method_brings_each_byte_to_its_place(method: str, tmp_path: Path) -> None:
    payload = _payload(tmp_path, [bytes([number]) * 10_500 for number in (1, 2, 3)])
    with device.opened() as opened:
        memory = opened.allocate(3 * 10_500)
        with loading.loader(opened, method, 1000) as load:
            for number, name in enumerate(payload.shape.names):
                into = memory[number * 10_500 : (number + 1) * 10_500]
                load(payload.folder / name, into, lambda: None)
        assert loading.difference(opened, memory, payload, lambda: None) == ""


def test_a_single_wrong_byte_on_the_device_is_found(tmp_path: Path) -> None:
    payload = _payload(tmp_path, [bytes(range(256)) * 4, bytes(1024)])
    with device.opened() as opened:
        memory = opened.allocate(2048)
        with loading.loader(opened, "pinned", 100) as load:
            load(payload.folder / "0.bin", memory[:1024], lambda: None)
        memory[2047] = 1
        reason = loading.difference(opened, memory, payload, lambda: None)
        assert reason == f"1 of 2 files differ on {opened.name}: 1.bin"


def test_a_file_that_is_too_short_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 10)
    with (
        pytest.raises(device.DeviceError, match="the file ends after 10 bytes"),
        device.opened() as opened,
        loading.loader(opened, "pinned", 64) as load,
    ):
        load(tmp_path / "short", opened.allocate(20), lambda: None)


def _payload(folder: Path, contents: list[bytes]) -> Payload:
    shape = Shape(size_bytes=len(contents[0]), files=len(contents), content="random", layout="flat")
    files = dict(zip(shape.names, contents, strict=True))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: sha256(content).hexdigest() for name, content in files.items()}
    return Payload(shape=shape, folder=folder, sha256=hashes)
