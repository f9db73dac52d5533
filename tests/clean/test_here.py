"""What locks and files say of runs on this machine."""

from __future__ import annotations

import fcntl
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hps.clean import candidates, cleaning
from hps.results import lock as alive

RUN = "20261122T101530123Z-5f3a9c"
MACHINE = "machine-1"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """The lock of a run that was killed here."""
    place = tmp_path / MACHINE / ".lock"
    place.parent.mkdir()
    place.write_text(json.dumps({"pid": 1, "run_id": RUN}))
    return place


def test_a_run_that_was_killed_here_has_ended(lock: Path, tmp_path: Path) -> None:
    with candidates.locked(tmp_path, MACHINE) as known:
        assert set(known.ended) == {RUN}
    assert lock.exists()


def test_where_somebody_holds_a_lock_nothing_is_known_to_have_ended(
    lock: Path, tmp_path: Path
) -> None:
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with candidates.locked(tmp_path, MACHINE) as known:
            assert known == candidates.Here(live=frozenset({RUN}))


def test_a_lock_that_is_removed_as_it_is_taken_keeps_nobody_out(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the lock removes it at that very moment, and the next run makes a new lock."""
    take = candidates._lock

    def late(descriptor: int) -> bool:
        lock.unlink()
        return take(descriptor)

    monkeypatch.setattr(candidates, "_lock", late)

    with candidates.locked(tmp_path, MACHINE) as known:
        assert known.ended == {}


def test_a_machine_without_runs_gets_no_folder(tmp_path: Path) -> None:
    with candidates.locked(tmp_path / "none", MACHINE) as known:
        assert known == candidates.Here()
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_resumed_before_it_is_removed_is_kept(tmp_path: Path) -> None:
    """The run had ended when it was judged, and is resumed while others are being removed."""
    work = cleaning._Cleaning(
        spec=cast(Any, None),
        env={},
        output=tmp_path,
        request=cleaning.CleanRequest(older_than_s=0, remove=True),
        tools=cast(Any, None),
        stop=threading.Event(),
    )
    left = cleaning.Leftover(target="s3", run_id=RUN, objects=1, size_bytes=1, uploads=0, seen=None)

    with alive.announced(RUN):
        done = work._removed(left, lambda *_, **__: None)

    assert done == replace(left, kept=candidates.AT_WORK)
