"""Ranges of files to the device: by way of buffers, and straight."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hps.data.limit import Limit, LimitError
from hps.gpu import device, ring

pytest.importorskip("torch", exc_type=ImportError)

_MIB = 1024**2
Opened = Callable[[device.Device, int], AbstractContextManager[ring.Copier]]
_WAYS: dict[str, Opened] = {
    "ring of two": lambda d, n: ring.opened(d, n, slots=2, page_locked=True),
    "ring of three": lambda d, n: ring.opened(d, n, slots=3, page_locked=True),
    "one ordinary buffer": lambda d, n: ring.opened(d, n, slots=1, page_locked=False),
    "shortest": lambda d, n: ring.shortest(d, n, slots=3),
}


class _Stop:
    def __init__(self, after: int) -> None:
        self.left = after

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("way", _WAYS)
def test_ranges_in_any_order_come_to_their_places(way: str, threads: int, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(9 * _MIB + 12_345)
    path = tmp_path / "file"
    path.write_bytes(content)
    starts = list(range(0, len(content), 2 * _MIB + 77))
    random.Random(2).shuffle(starts)
    with device.opened() as opened, _WAYS[way](opened, 3 * _MIB // 2) as copier:
        memory = opened.allocate(len(content))
        with path.open("rb") as stream:
            for start in starts:
                into = memory[start : start + 2 * _MIB + 77]
                copier.copy(stream.fileno(), start, into, lambda: None, threads=threads)
        copier.drain()
        assert bytes(memory.cpu().tolist()) == content


def test_copying_ends_between_two_pieces_when_the_run_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    limit = Limit(stop=_Stop(after=3))
    with device.opened() as opened, ring.shortest(opened, 100, slots=2) as copier:
        memory = opened.allocate(1000)
        with (tmp_path / "file").open("rb") as stream, pytest.raises(LimitError) as caught:
            copier.copy(stream.fileno(), 0, memory, limit.check)
        copier.drain()
        assert (caught.value.status, int((memory != 0).sum())) == ("interrupted", 300)


def test_copying_ends_at_its_time_out() -> None:
    with pytest.raises(LimitError, match="stopped after its time-out of 0 ms") as caught:
        Limit(stop=_Stop(after=9), timeout_s=0.0).check()
    assert caught.value.status == "timeout"
