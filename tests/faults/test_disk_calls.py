"""Whatever call a disk refuses, it is the disk's fault, with the path, and no bug of hps."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from tests.command import hps

_SPEC = """\
api: hps/v1
name: disk
targets: {local: {provider: embedded}}
data: {size: 100KiB}
steps: [upload, delete]
"""
# Played within the process, since no file system here gives such answers when it is told to: from
# the given call on, all of one name that are about this folder.
_FAULT = """\
import builtins, io, os, sys
if "hps" in sys.orig_argv:
    kind, number, place, first = {call!r}, {number}, {place!r}, {first}
    count = 0

    def about(one):
        try:
            name = os.readlink(f"/proc/self/fd/{{one}}") if isinstance(one, int) else os.fspath(one)
        except (OSError, TypeError):
            return ""
        return os.fsdecode(name)

    def failing(real):
        def call(one=".", *more, **named):
            global count
            name = about(one)
            if name.startswith(place):
                count += 1
                if count >= first:
                    told = () if isinstance(one, int) else (name,)
                    raise OSError(number, os.strerror(number), *told)
            return real(one, *more, **named)
        return call

    if kind == "io.open":
        builtins.open = io.open = failing(io.open)
    else:
        setattr(os, kind, failing(getattr(os, kind)))
"""
_CALLS = ("stat", "lstat", "io.open", "open", "scandir", "pread", "mkdir", "fstat", "replace")
_CASES = [
    *((call, errno.EIO, first) for call in _CALLS for first in (1, 2, 4)),
    *((call, number, 1) for call in ("stat", "open") for number in (errno.EROFS, errno.EDQUOT)),
]


@pytest.mark.prove
@pytest.mark.parametrize(("call", "number", "first"), _CASES)
def test_a_call_that_a_disk_refuses(call: str, number: int, first: int, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(_SPEC)
    place = tmp_path / "out" / "disk"
    place.mkdir(parents=True)
    text = _FAULT.format(call=call, number=number, place=str(place), first=first)
    (tmp_path / "bug").mkdir()
    (tmp_path / "bug" / "sitecustomize.py").write_text(text)

    ran = hps(
        *("run", tmp_path / "s.yaml", "--output", tmp_path / "out"),
        env={"PYTHONPATH": str(tmp_path / "bug"), "SALAD_MACHINE_ID": "a-node"},
    )

    assert ran.code in {0, 1, 2, 6}, ran.err
    assert "bug of hps" not in ran.err
    if ran.code:
        assert os.strerror(number) in ran.err
        assert re.search(rf"{re.escape(str(place))}|results kept", ran.err), ran.err
