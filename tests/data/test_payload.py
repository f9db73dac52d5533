"""Payloads that do not fit: said before they are made, and with figures where they can't be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hps.data import payload
from hps.data.shape import Shape
from hps.errors import MachineError
from hps.process.process import Guard
from hps.process.stop import SignalStop
from hps.tools.rclone import command
from tests.builders import MIB, make_operation
from tests.command import hps
from tests.disks import Mount

_TINY = """\
api: hps/v1
name: tiny-files
targets: {local: {provider: embedded}}
data: {size: 1KiB, files: 3000}
steps: [upload, delete]
"""


def _make_all(parent: Path, *kinds: str, size_bytes: int) -> list[str]:
    """Make what these steps move; returns the names of the events."""
    told: list[str] = []
    with Guard() as guard:
        payload.make_all(
            [make_operation(kind, size=size_bytes) for kind in kinds],
            parent,
            command.find_binary(os.environ),
            guard,
            SignalStop(),
            lambda name, **_: told.append(name),
        )
    return told


def test_what_does_not_fit_is_said_before_anything_is_made(mount: Mount) -> None:
    disk = mount("disk", "size=8m")
    with pytest.raises(MachineError) as caught:
        _make_all(disk / "payload", "upload", size_bytes=20 * MIB)
    assert caught.value.message == (
        f"cannot make the payloads in {disk}/payload: "
        "too little space on the disk: 20 MiB needed, 8 MiB free"
    )
    assert "TMPDIR" in caught.value.hint
    assert list(disk.iterdir()) == []


def test_what_comes_down_again_needs_its_place_too(mount: Mount) -> None:
    disk = mount("disk", "size=16m")
    assert _make_all(disk / "up", "upload", size_bytes=5 * MIB) == ["making_payload"]
    with pytest.raises(MachineError, match="12 MiB needed, 11 MiB free"):
        _make_all(disk / "down", "upload", "download", size_bytes=6 * MIB)


def test_a_disk_that_fills_up_meanwhile_is_told_with_figures(mount: Mount) -> None:
    disk = mount("disk", "size=8m")
    shape = Shape(size_bytes=20 * MIB, files=1, content="random", layout="flat")
    with Guard() as guard, pytest.raises(MachineError) as caught:
        payload.make(shape, disk, command.find_binary(os.environ), guard)
    assert "20 MiB needed, 7.99" in caught.value.message  # the log has its place, too


def test_files_are_counted_where_the_disk_counts_them(mount: Mount) -> None:
    disk = mount("disk", "size=8m,nr_inodes=20")
    shape = Shape(size_bytes=1, files=50, content="zeros", layout="flat")
    with Guard() as guard, pytest.raises(MachineError, match=r"too many files .* 50 needed"):
        payload.make(shape, disk, command.find_binary(os.environ), guard)


def test_what_the_tool_said_is_told_where_there_is_room(tmp_path: Path) -> None:
    """A program that writes nothing and says nothing."""
    program = tmp_path / "rclone"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    shape = Shape(size_bytes=1, files=1, content="zeros", layout="flat")
    with Guard() as guard, pytest.raises(MachineError, match="rclone ended with code 7"):
        payload.make(shape, tmp_path, str(program), guard)


def test_a_run_says_it_with_the_folder_and_what_to_do(mount: Mount, tmp_path: Path) -> None:
    """Of files smaller than a block the disk takes more than they hold."""
    disk, spec = mount("disk", "size=8m"), tmp_path / "tiny.yaml"
    spec.write_text(_TINY)
    ran = hps("run", spec, "--output", tmp_path / "out", env={"TMPDIR": str(disk)})
    assert ran.code == 1
    assert f"hps: cannot make the payloads in {disk}/hps-" in ran.err
    assert "too little space on the disk: 11.72 MiB needed, " in ran.err
    assert "name a folder on another disk in TMPDIR" in ran.err
    assert "Traceback" not in ran.err
    assert list(disk.iterdir()) == []
