"""Objects of other people in the bucket stay as they were, whatever their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clean.bucket import Bucket, as_files, hostile_names
from tests.clean.killing import killed_in_the_middle
from tests.clean.site import MACHINE, TRIAL, Site, old_run
from tests.servers.moto_s3 import serve_moto
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

_SERVERS = {"moto": serve_moto, "rclone": serve_s3}
_PROBE = "node: {min_upload: 1Mbps, on_unknown: accept, probe: {target: s3, seconds: 1}}\n"
_STEPS = "[upload, list, download, verify, delete]"
_SYNC = "[sync_up, list, sync_down, verify]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A server, and the folder in which it keeps objects as files, if it does."""

    server: S3Server
    disk: Path | None

    def kept(self, bucket: Bucket) -> Mapping[str, object]:
        """What there is by key. rclone's server gives odd names others once it looks again."""
        if self.disk is None:
            return bucket.objects()
        files = (path for path in self.disk.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.disk)): (path.read_bytes()[:99], path.stat().st_mtime_ns)
            for path in files
        }


@pytest.fixture(scope="module", params=_SERVERS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Served]:
    folder = tmp_path_factory.mktemp(request.param)
    with _SERVERS[request.param](folder) as server:
        disk = folder / server.bucket if server.provider == "Rclone" else None
        yield _Served(server=server, disk=disk)


@contextmanager
def _others(site: Site, inside: str, run_id: str, served: _Served) -> Iterator[None]:
    """Other people fill the bucket; afterwards all of theirs is as it was, and nothing is ours."""
    bucket, home = site.bucket, f"{inside}data/{site.name}"
    ours, before = served.kept(bucket), bucket.begun()
    names = hostile_names(site.name, run_id)
    bucket.fill(f"{inside}{name}" for name in (as_files(names) if served.disk else names))
    foreign = {key: one for key, one in served.kept(bucket).items() if key not in ours}
    assert len(foreign) > 80
    begun = [
        *([] if served.disk else [f"{home}/{run_id}"]),
        f"{home}/{run_id}x/{TRIAL}/0.bin",
        f"{home}/{run_id}/{TRIAL}x/0.bin",
        f"{home}/{run_id}/{TRIAL}/9.bin.bak",
        f"{home}/{run_id}/somebody",
        f"{home}2/{run_id}/{TRIAL}/0.bin",
        f"{inside}data/x/{site.name}/{run_id}/{TRIAL}/0.bin",
        f"{inside}x",
    ]
    bucket.begin(*begun)

    yield

    after = served.kept(bucket)
    assert {key: after.get(key) for key in foreign} == foreign
    assert bucket.begun() == sorted([*before, *begun])
    left = {key for key in set(after) - set(foreign) if key.startswith(f"{home}/")}
    assert left == set()


@pytest.mark.prove
@pytest.mark.parametrize(
    ("written", "inside", "steps"),
    [
        ("/", "", _STEPS),
        ("o\u0308/[x]{a,b}?", "o\u0308/[x]{a,b}?/", _SYNC),
    ],
)
def test_a_whole_run_touches_nothing_of_others(
    written: str, inside: str, steps: str, served: _Served, tmp_path: Path
) -> None:
    site = Site(tmp_path, served.server)
    site.write(written, more=_PROBE)
    site.spec.write_text(site.spec.read_text(encoding="utf-8").replace(_STEPS, steps), "utf-8")

    with _others(site, inside, old_run(), served):
        ran = site.run()

    assert ran.code == 0, ran.err
    results = f"{inside}results/{site.name}/{MACHINE}/"
    assert {Path(key).suffix for key in site.bucket.names() if key.startswith(results)} >= {
        *(".jsonl", ".csv", ".txt")
    }


@pytest.mark.prove
@pytest.mark.parametrize(("written", "inside"), [("/a b/*", "a b/*/"), ("w./y ", "w./y /")])
def test_cleaning_up_touches_nothing_of_others(
    written: str, inside: str, served: _Served, tmp_path: Path
) -> None:
    site, run_id = Site(tmp_path, served.server, written), old_run()
    for name in (f"{TRIAL}/0.bin", f"{TRIAL}/7/17.bin", "probe/sent/3.bin"):
        site.bucket.put(f"{inside}{site.made(run_id, name)}")

    with _others(site, inside, run_id, served):
        for name in (f"{TRIAL}/0.bin", f"{TRIAL}/1.bin", "aaaaaaaaaaaa/3/13.bin"):
            site.bucket.begin(f"{inside}{site.made(run_id, name)}")
        listed = {one["run_id"]: one for one in site.left("--older-than", "0s")}
        ran = site.clean("--older-than", "0s", "--yes")

    assert ran.code == 0, ran.out
    assert (listed[run_id]["objects"], listed[run_id]["uploads"]) == (3, 3)


def test_an_upload_that_cannot_be_told_from_another_stays(served: _Served, tmp_path: Path) -> None:
    """rclone aborts by the beginning of a name."""
    site, run_id = Site(tmp_path, served.server), old_run()
    names = [site.made(run_id), site.made(run_id) + "x", site.made(run_id, f"{TRIAL}/1.bin")]
    site.bucket.begin(*names)

    ran = site.clean("--older-than", "0s", "--yes")

    assert ran.code == 1
    assert "somebody else's upload" in ran.out
    assert [key for key in site.bucket.begun() if site.name in key] == names[:2]


@pytest.mark.prove
def test_a_killed_run_goes_on_and_touches_nothing_of_others(
    served: _Served, tmp_path: Path
) -> None:
    site = Site(tmp_path, served.server)
    site.write("", repetitions=3)
    run_id = killed_in_the_middle(site)
    site.bucket.put(site.made(run_id))

    with _others(site, "", run_id, served):
        site.bucket.begin(site.made(run_id))
        ran = site.run()

    assert ran.code == 0, ran.err
    assert "run_resumed" in ran.err


def _clean(site: Site) -> int:
    return site.clean("--older-than", "0s", "--yes").code


def _run(site: Site) -> int:
    return site.run().code


@pytest.mark.prove
@pytest.mark.parametrize("command", [_clean, _run])
@pytest.mark.parametrize(
    "written",
    ["//x/", "///", "a/../b", "..", "a//b", "./a", "-x", "a\nb", "a\u201bb", "a\u2421", "\u240a"],
)
def test_other_folders_are_refused(
    written: str, command: Callable[[Site], int], moto_server: S3Server, tmp_path: Path
) -> None:
    site = Site(tmp_path, moto_server, written)
    assert json.dumps(written) in site.spec.read_text()

    assert command(site) == 2
