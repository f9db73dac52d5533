"""Two runs in one folder: the second is told who holds it, at whatever moment it comes."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.results import lock


def test_a_holder_that_ends_as_the_next_one_comes_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = lock._opened

    def just_too_early(path: Path) -> int:
        try:
            return take(path)
        finally:
            path.unlink()

    place = tmp_path / lock.NAME
    place.touch()
    with place.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(lock, "_opened", just_too_early)
        with pytest.raises(HpsError, match=r"another run works in .*: process unknown") as caught:
            lock.RunLock(tmp_path)

    assert "hps clean" in caught.value.hint
