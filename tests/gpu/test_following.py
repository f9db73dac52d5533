"""Copying beside a download: a thread follows a log and files that this test writes as rclone."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.gpu import device, ring
from hps.gpu.following import Follower, Incoming
from hps.tools import TOOLS
from tests.builders import make_running

pytest.importorskip("torch", exc_type=ImportError)

_CONTENT = random.Random(3).randbytes(3000)
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Download:
    """A download that the test plays: one file of 3000 bytes, and its log."""

    folder: Path
    follower: Follower
    memory: Any

    @property
    def partial(self) -> Path:
        return self.folder / "0.bin.1a2b3c4d.partial"

    def say(self, message: str, name: str = "0.bin") -> None:
        with (self.folder / "log").open("a") as stream:
            stream.write(json.dumps({"msg": message, "object": name}) + "\n")

    def finished(self, start: int, stop: int) -> None:
        self.say(f"multi-thread copy: chunk 1/3 ({start}-{stop}) size 1000 finished")

    def on_device(self) -> bytes:
        return bytes(self.memory.cpu().tolist())

    @contextmanager
    def followed(self) -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self.follower.follow, over)
            try:
                yield
            finally:
                over.set()
            following.result(_WAIT_S)

    def wait_for(self, copied_bytes: int) -> None:
        deadline_s = time.monotonic() + _WAIT_S
        while self.follower.copied_bytes != copied_bytes:
            assert time.monotonic() < deadline_s, self.follower.copied_bytes
            time.sleep(0.002)


@contextmanager
def _download(folder: Path, *, whole: bool) -> Iterator[_Download]:
    with device.opened() as opened, ring.shortest(opened, 700, slots=2) as copier:
        memory = opened.allocate(3000)
        incoming = Incoming(folder=folder, names=("0.bin",), size_bytes=3000, memory=memory)
        running = make_running(folder, name="0.bin", streams=1 if whole else 3)
        follower = Follower(incoming, TOOLS["rclone"].arrivals(running), copier, lambda: None)
        yield _Download(folder=folder, follower=follower, memory=memory)


def test_chunks_are_copied_as_they_finish_and_holes_are_not(tmp_path: Path) -> None:
    with _download(tmp_path, whole=False) as download:
        with download.followed():
            download.partial.write_bytes(bytes(2000) + _CONTENT[2000:])
            download.say("multi-thread copy: chunk 3/3 (2000-3000) size 1000 starting")
            download.finished(2000, 3000)
            download.wait_for(1000)
            download.say("Copied (new)", name="of another")
            download.partial.write_bytes(_CONTENT[:1000] + bytes(1000) + _CONTENT[2000:])
            download.finished(0, 1000)
            download.wait_for(2000)
        assert download.on_device() == _CONTENT[:1000] + bytes(1000) + _CONTENT[2000:]

        download.partial.write_bytes(_CONTENT)
        download.partial.rename(tmp_path / "0.bin")
        download.follower.finish()
        assert download.on_device() == _CONTENT


def test_a_file_that_comes_whole_is_copied_as_it_grows(tmp_path: Path) -> None:
    with _download(tmp_path, whole=True) as download:
        with download.followed():
            for stop in (1, 1500, 2999):
                download.partial.write_bytes(_CONTENT[:stop])
                download.wait_for(stop)
            download.partial.write_bytes(_CONTENT)
            download.partial.rename(tmp_path / "0.bin")
            download.say("Copied (new)")
            download.wait_for(3000)
        assert download.on_device() == _CONTENT


def test_a_size_says_nothing_where_the_file_comes_in_ranges(tmp_path: Path) -> None:
    with _download(tmp_path, whole=False) as download:
        with download.followed():
            download.partial.write_bytes(bytes(3000))
            download.finished(0, 10)
            download.wait_for(10)
        assert download.follower.copied_bytes == 10


@pytest.mark.parametrize(
    ("found", "reason"), [(b"x" * 10, "0.bin has 10 bytes, not 3000"), (None, "No such file")]
)
def test_a_file_that_is_not_complete_in_the_end_is_an_error(
    found: bytes | None, reason: str, tmp_path: Path
) -> None:
    if found is not None:
        (tmp_path / "0.bin").write_bytes(found)
    with (
        pytest.raises(device.DeviceError, match=reason),
        _download(tmp_path, whole=False) as download,
    ):
        download.follower.finish()
