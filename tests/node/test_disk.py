from __future__ import annotations

from pathlib import Path

from hps.model import Unknown
from hps.node.disk import MIB, free_bytes, measure_speed


def test_speed_is_measured_and_nothing_is_left(tmp_path: Path) -> None:
    speed = measure_speed(tmp_path, size_bytes=16 * MIB)
    for reading in (speed.write_mb_per_s, speed.read_mb_per_s):
        assert isinstance(reading.value, float), reading.reason
        assert reading.value > 0
        assert reading.reason == ""
    assert list(tmp_path.iterdir()) == []


def test_without_time_there_is_no_speed(tmp_path: Path) -> None:
    speed = measure_speed(tmp_path, limit_s=0)
    assert speed.write_mb_per_s.value is None
    assert speed.write_mb_per_s.reason == "nothing was moved"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    speed = measure_speed(missing)
    assert speed.write_mb_per_s.value is None
    assert "No such file" in speed.read_mb_per_s.reason
    assert isinstance(free_bytes(missing), Unknown)


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path) -> None:
    speed = measure_speed(tmp_path, size_bytes=2**60)
    assert speed.write_mb_per_s.value is None
    assert "bytes free" in speed.write_mb_per_s.reason


def test_free_bytes(tmp_path: Path) -> None:
    free = free_bytes(tmp_path)
    assert isinstance(free, int)
    assert free > 0
