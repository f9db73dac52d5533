"""Looking whether a folder can be written to leaves nothing there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.process import temporary
from hps.process.process import Command
from tests.disks import Mount


def test_a_look_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary.check_writable(tmp_path, "")
    temporary.check_file(tmp_path / "new", "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_said_with_the_path(tmp_path: Path, mount: Mount) -> None:
    (tmp_path / "file").touch()
    locked = mount("locked", "size=1m,ro")
    for path, said in (
        (locked / "new", f"cannot write to {locked}: Read-only file system"),
        (tmp_path / "no" / "new", f"cannot write to {tmp_path}/no: No such file or directory"),
        (tmp_path / "file" / "new", f"cannot write to {tmp_path}/file: Not a directory"),
        (tmp_path / ("n" * 300), f"cannot write {tmp_path}/{'n' * 300}: File name too long"),
    ):
        with pytest.raises(HpsError) as caught:
            temporary.check_file(path, "name another")
        assert (caught.value.message, caught.value.hint) == (said, "name another")


def test_a_program_that_writes_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_MOST_WRITTEN_BYTES", 1 << 20)
    command = Command(argv=("yes",), env={"PATH": os.environ["PATH"]})
    with (
        temporary.open_workplace("asking", timeout_s=60) as place,
        pytest.raises(HpsError, match="yes writes without end"),
    ):
        place.run(command, most_bytes=10)
