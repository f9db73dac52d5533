"""`hps clean` lists what runs left, says why it keeps what it keeps, and removes with --yes."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import time
from pathlib import Path

import pytest

from tests.clean.killing import PATIENCE_S, is_under_way, killed_in_the_middle, started, wait_for
from tests.clean.site import MACHINE, TRIAL, Site, old_run
from tests.command import REPOSITORY, hps
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

_PERHAPS = "it may be at work on another machine"


@pytest.fixture
def site(tmp_path: Path, moto_server: S3Server) -> Site:
    return Site(tmp_path, moto_server)


def _begun(site: Site) -> list[str]:
    return [key for key in site.bucket.begun() if f"/{site.name}/" in key]


def _kept(site: Site) -> set[str]:
    return {key for key in site.bucket.names() if f"/{site.name}/" in key}


def test_what_is_left_is_listed_by_run_and_stays(site: Site) -> None:
    first, second = sorted((old_run(), old_run()))
    site.bucket.put(site.made(first), b"x" * 2_000_000)
    site.bucket.put(site.made(first, "probe/read-0/part-0.bin"))
    site.bucket.begin(site.made(first, f"{TRIAL}/3/13.bin"), site.made(second))

    ran = site.clean("--older-than", "0s")

    assert ran.code == 0, ran.err
    (one, other) = (line.split() for line in ran.out.splitlines() if line.startswith("s3"))
    assert (one[1], other[1]) == (first, second)
    assert one[-4:] == ["2", "1.907", "MiB", "1"]
    assert other[-4:] == ["0", "0", "B", "1"]
    assert "2 objects (1.907 MiB) and 2 incomplete uploads of 2 runs can be removed" in ran.out
    assert f"hps clean {site.spec} --output {site.output} --older-than 0s --yes" in ran.out
    assert len(_kept(site)) == len(_begun(site)) == 2


def test_as_json(site: Site) -> None:
    run_id = old_run()
    site.bucket.put(site.made(run_id), b"12345")

    (one,) = site.left()

    assert one.pop("last_seen").startswith("20")
    assert one == {
        "target": "s3",
        "run_id": run_id,
        "objects": 1,
        "size_bytes": 5,
        "uploads": 0,
        "kept": _PERHAPS,
        "removed": False,
        "failed": "",
    }


def test_with_yes_it_is_removed_and_then_there_is_nothing(site: Site) -> None:
    run_id = old_run()
    site.bucket.put(site.made(run_id))
    site.bucket.begin(site.made(run_id), site.made(run_id, f"{TRIAL}/1/1.bin"))

    ran = site.clean("--older-than", "0s", "--yes")
    again = site.clean("--older-than", "0s", "--yes")

    assert ran.code == 0, ran.err
    assert "1 object (1 B) and 2 incomplete uploads of 1 run: removed" in ran.out
    assert "removing" in ran.err
    assert _kept(site) == set(_begun(site)) == set()
    assert (again.code, again.out) == (0, f"s3: nothing is left of any run of {site.name}\n")


def test_one_run_alone_is_removed_where_it_is_named(site: Site) -> None:
    first, second = old_run(), old_run()
    for run_id in (first, second):
        site.bucket.put(site.made(run_id))

    ran = site.clean("--older-than", "0s", "--run", first, "--yes")

    assert ran.code == 0, ran.err
    assert _kept(site) == {site.made(second)}


@pytest.mark.parametrize("run_id", ["x", "..", "*", "20260101T000000000Z-abcdefx", "-", "/"])
def test_a_run_that_can_be_none_is_refused(run_id: str, site: Site) -> None:
    ran = site.clean("--run", run_id, "--yes")

    assert ran.code == 2
    assert "is not the id of a run" in ran.err


def test_what_may_be_at_work_elsewhere_is_kept_by_its_age(site: Site) -> None:
    """moto says of every upload that it began in 2010, so that only the run's id tells an age."""
    ended, recent = old_run(48), old_run(2)
    site.bucket.begin(site.made(ended), site.made(recent))

    kept = {one["run_id"]: one["kept"] for one in site.left()}
    ran = site.clean("--yes")

    assert kept == {ended: "", recent: _PERHAPS}
    assert ran.code == 0, ran.err
    assert "--older-than" in ran.out
    assert _begun(site) == [site.made(recent)]


@pytest.mark.parametrize("sign", ["object", "journal"])
def test_a_recent_object_or_journal_is_a_sign_of_life(sign: str, site: Site) -> None:
    run_id = old_run(48)
    site.bucket.begin(site.made(run_id))
    journal = f"results/{site.name}/machine-2/{run_id}.jsonl"
    site.bucket.put(site.made(run_id) if sign == "object" else journal)

    ran = site.clean("--yes")

    assert ran.code == 0, ran.err
    assert _PERHAPS in ran.out
    assert _begun(site) == [site.made(run_id)]


def test_a_run_that_holds_a_lock_here_is_kept_at_any_age(site: Site) -> None:
    live, other = old_run(), old_run()
    for run_id in (live, other):
        site.bucket.put(site.made(run_id))
    lock = site.output / site.name / "machine-9" / ".lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": 1, "run_id": live}).ljust(1024))

    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = site.clean("--older-than", "0s", "--yes")

    assert ran.code == 0, ran.err
    assert "kept: it is at work on this machine" in ran.out
    assert _kept(site) == {site.made(live)}


@pytest.mark.parametrize(
    ("here", "there", "removed"),
    [
        pytest.param(b"1\n2\n", b"1\n", True, id="the bucket has less"),
        pytest.param(b"1\n", b"", True, id="the bucket has nothing"),
        pytest.param(None, b"", True, id="killed before its first line"),
        pytest.param(b"1\n", b"1\n2\n", False, id="another machine has gone on with it"),
        pytest.param(None, b"1\n", False, id="only the bucket has it"),
    ],
)
def test_a_run_that_ended_here_need_not_be_old(
    here: bytes | None, there: bytes, removed: bool, site: Site
) -> None:
    run_id = old_run(0.01)
    site.bucket.put(site.made(run_id))
    home = site.output / site.name / MACHINE
    home.mkdir(parents=True)
    told = json.dumps({"pid": 1, "run_id": run_id}).encode()
    (home / ".lock").write_bytes(told)
    if here is not None:
        (home / f"{run_id}.jsonl").write_bytes(here)
    journal = f"results/{site.name}/{MACHINE}/{run_id}.jsonl"
    if there:
        site.bucket.put(journal, there)

    ran = site.clean("--yes")

    assert ran.code == 0, ran.err
    assert (site.made(run_id) in _kept(site)) is not removed
    assert (home / ".lock").read_bytes() == told


def test_what_came_long_after_a_run_ended_here_is_somebody_elses(site: Site) -> None:
    run_id = old_run(48)
    home = site.output / site.name / MACHINE
    home.mkdir(parents=True)
    for name in (".lock", f"{run_id}.jsonl"):
        (home / name).write_text(json.dumps({"run_id": run_id}))
        os.utime(home / name, (time.time() - 3600,) * 2)
    site.bucket.put(site.made(run_id))

    ran = site.clean("--yes")

    assert _PERHAPS in ran.out
    assert _kept(site) == {site.made(run_id)}


def test_two_names_of_one_place_count_once(site: Site) -> None:
    run_id = old_run()
    site.bucket.put(site.made(run_id))
    text = site.spec.read_text()
    target = text[text.index("  s3:") : text.index("data:")]
    again = target.replace("  s3:", "  again:").replace('folder: ""', 'folder: "/"')
    site.spec.write_text(text.replace(target, target + again).replace("[2]}", "[2], target: [s3]}"))

    assert [one["target"] for one in site.left()] == ["s3"]


def test_an_embedded_target_keeps_nothing(tmp_path: Path) -> None:
    ran = hps("clean", REPOSITORY / "experiments" / "quickstart.yaml", "--output", tmp_path)

    assert ran.code == 0, ran.err
    assert "ends with each run, and nothing is left in it" in ran.out


def test_without_its_keys_nothing_is_looked_at(site: Site) -> None:
    ran = site.clean(env={"TEST_SECRET": ""})

    assert ran.code == 2
    assert "TEST_SECRET" in ran.err


def test_a_target_that_cannot_be_listed_is_told(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    text = site.spec.read_text().replace(site.server.endpoint, f"http://127.0.0.1:{port}")
    site.spec.write_text(text)

    ran = site.clean("--yes")

    assert ran.code == 1
    assert "can't be listed" in ran.out
    assert "nothing is left" not in ran.out


def test_without_the_journals_nothing_is_removed(site: Site) -> None:
    """Where the results can't be listed, nobody knows who is at work."""
    run_id = old_run()
    site.bucket.begin(site.made(run_id))
    text = site.spec.read_text()
    target = text[text.index("  s3:") : text.index("data:")]
    store = target.replace("  s3:", "  store:").replace("bucket: bucket", "bucket: no-such-bucket")
    more = "results: {target: store}\n"
    site.spec.write_text(text.replace(target, target + store) + more)

    ran = site.clean("--yes", "--older-than", "0s")

    assert ran.code == 1
    assert _begun(site) == [site.made(run_id)]


@pytest.mark.parametrize("of", ["data", "results"])
@pytest.mark.parametrize("kept_bytes", [0, 2])
def test_a_list_that_is_not_whole_is_no_list(of: str, kept_bytes: int, site: Site) -> None:
    """On a full disk rclone writes as much as there is space for, and ends well."""
    run_id = old_run()
    site.bucket.put(site.made(run_id))
    wrapper, real = site.home / "rclone", shlex.quote(find_rclone())
    cut = f'{real} "$@" | head -c {kept_bytes}'
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in lsjson*/{of}/*) {cut};; *) exec {real} "$@";; esac\n'
    )
    wrapper.chmod(0o755)

    ran = site.clean("--yes", "--older-than", "0s", env={"HPS_RCLONE": str(wrapper)})

    assert ran.code == 1, ran.err
    assert "is not whole" in ran.out
    assert _kept(site) == {site.made(run_id)}


def test_a_run_at_work_is_left_alone(tmp_path: Path, s3_server: S3Server) -> None:
    site = Site(tmp_path, s3_server)
    site.write("", repetitions=6)
    with started(site) as running:
        wait_for(lambda: is_under_way(site), running)
        ran = site.clean("--yes", "--older-than", "0s")
        code = running.wait(PATIENCE_S)

    assert ran.code == 0, ran.err
    assert code == 0, (tmp_path / "run.err").read_text()
    assert site.objects() == set()


def test_what_a_killed_run_left_is_removed_at_once(tmp_path: Path, s3_server: S3Server) -> None:
    site = Site(tmp_path, s3_server)
    site.write("", repetitions=6)
    run_id = killed_in_the_middle(site)
    site.bucket.put(site.made(run_id))

    ran = site.clean("--yes")

    assert ran.code == 0, ran.err
    assert "removed" in ran.out
    assert site.objects() == set()
