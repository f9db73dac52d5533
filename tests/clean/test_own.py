"""Code that deletes takes no folder but one of a run's own."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hps.run_folder import BY_HAND, OwnFolder, run_folder, run_that_made
from hps.tools import CLIENT
from tests.builders import S3

RUN = "20261122T101530123Z-5f3a9c04b7d1"
OLDER = "20261122T101530123Z-5f3a9c"
TRIAL = "0123456789ab"
HOME = f"data/e/{RUN}"


@pytest.mark.parametrize("part", ["", f"/{TRIAL}", "/probe"])
@pytest.mark.parametrize("run_id", [RUN, OLDER, BY_HAND])
def test_what_a_run_has_may_be_named(run_id: str, part: str) -> None:
    folder = OwnFolder(f"data/e/{run_id}{part}")
    assert (folder.run_key, folder.part) == (f"data/e/{run_id}", part.removeprefix("/"))


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", ".", "..", "*", "data", "data/", "data/e", "data/e/", f"/{HOME}", f"{HOME}/"),
        *(f"data/e/{OLDER}x", f"data/e/{OLDER[:-1]}", f"data/e/{OLDER}/x"),
        *(f"{HOME}x", f"{HOME[:-1]}", f"{HOME}/*", f"{HOME}/..", f"{HOME}/{TRIAL}/..", f"x/{HOME}"),
        *(f"{HOME}/{TRIAL}/", f"{HOME}/{TRIAL}x", f"{HOME}/{TRIAL}/0.bin", f"{HOME}/probe2"),
        *(f"{HOME}\n", f"{HOME}/{TRIAL}\n", f"{HOME}//", f"{HOME}/ ", f"data/../{RUN}"),
        *(f"data/a..b/{RUN}", f"data//{RUN}", f"data/E/{RUN}", f"data/-e/{RUN}", f"data/é/{RUN}"),
        *(f"data/e/{RUN.lower()}", f"data/e/{RUN.replace('2', '٢')}", f"data/e/{RUN}\x00"),
        *("data/e/by-hand", "data/e/not-a-run", f"results/e/{RUN}", f"DATA/e/{RUN}"),
    ],
)
def test_anything_else_may_not(key: str) -> None:
    with pytest.raises(ValueError, match="not a folder of a run's own"):
        OwnFolder(key)


def test_a_whole_run_is_emptied_by_the_names_of_what_it_made_alone() -> None:
    with pytest.raises(ValueError, match="one trial"):
        CLIENT.delete(S3, run_folder("e", RUN))
    with pytest.raises(ValueError, match="own folder"):
        CLIENT.abort_uploads(S3, run_folder("e", RUN))
    with pytest.raises(ValueError, match="own folder"):
        CLIENT.abort_uploads(S3, OwnFolder(f"{HOME}/{TRIAL}"), "../x")

    args = CLIENT.delete_made(S3, run_folder("e", RUN)).invocation.args
    rules = [argument for argument in args if argument.startswith("--filter")]
    assert rules[-1] == "--filter=- **"
    assert f"s3:bucket/tests/{HOME}/" in args


def test_text_is_not_enough() -> None:
    for call in (CLIENT.delete, CLIENT.delete_made, CLIENT.abort_uploads):
        with pytest.raises(AttributeError):
            cast(Any, call)(S3, HOME)


@pytest.mark.parametrize(
    "name",
    [f"{TRIAL}/0.bin", f"{TRIAL}/9/1999.bin", "probe/sent/12.bin", "probe/read-2/part-2.bin"],
)
def test_what_runs_make_is_known_by_its_name(name: str) -> None:
    assert run_that_made(f"{RUN}/{name}") == RUN
    assert run_that_made(f"{OLDER}/{name}") == OLDER
    assert run_folder("e", RUN).made(f"{HOME}/{name}")
    assert not OwnFolder(f"{HOME}/aaaaaaaaaaaa").made(f"{HOME}/{name}")


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "0.bin", f"{TRIAL}", f"{TRIAL}/", f"{TRIAL}/x.bin", f"{TRIAL}/0.binx"),
        *(f"{TRIAL}/0.bin/x", f"{TRIAL}/../0.bin", f"{TRIAL}//0.bin", f"{TRIAL}x/0.bin"),
        *(f"{TRIAL}/10/0.bin", f"{TRIAL}/0.bin\n", f"{TRIAL}/٢.bin", "probe/0.bin", "probe/sent/x"),
    ],
)
def test_other_names_are_nobodys(name: str) -> None:
    assert run_that_made(f"{RUN}/{name}") is None
    assert not run_folder("e", RUN).made(f"{HOME}/{name}")
