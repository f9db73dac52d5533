"""`hps results pull` against real servers: only what is new, whole files, nothing elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.command import REPOSITORY, Ran
from tests.conftest import ProxyFor
from tests.disks import Mount
from tests.results.conftest import Bucket
from tests.results.fleet import write_fleet
from tests.results.tabled import lines, one, write
from tests.servers.child import ask
from tests.servers.faults import Respond, Rule, Truncate

_PATIENCE_S = 60.0
_SPEC = """\
api: hps/v1
name: {name}
targets:
  my-store:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    folder: {folder}
    access_key_id: {{env: AWS_ACCESS_KEY_ID}}
    secret_access_key: {{env: AWS_SECRET_ACCESS_KEY}}
data: {{size: 1MiB}}
steps: [upload]
results: {{target: my-store, folder: {below}}}
"""
# Names that somebody may have given to objects, and whether files may be named so.
_NAMES = {
    "../../../../evil.jsonl": False,
    "x/../../../evil.jsonl": False,
    "./dot.jsonl": False,
    "/double.jsonl": False,
    f"{'n' * 300}.jsonl": False,
    "clash.jsonl": True,
    "clash.jsonl/x.jsonl": False,
    "-rf.jsonl": True,
    "\x1b[31mred.jsonl": True,
    "ünï*?.jsonl": True,
    "back\\slash.jsonl": True,
}


def _pulled(ran: Ran) -> dict[str, Any]:
    assert ran.code in (0, 1), ran.err
    return dict(json.loads(ran.out))


def _counts(ran: Ran) -> tuple[int, int, int]:
    told = _pulled(ran)
    return told["new"], told["changed"], told["unchanged"]


def _pull(bucket: Bucket, *arguments: str | Path, **settings: Any) -> Ran:
    return bucket.hps("pull", "--from", "s3", "--format", "json", *arguments, **settings)


def _cached(bucket: Bucket, cache: str = "hps-cache") -> dict[str, bytes]:
    root = bucket.work / cache
    kinds = {".jsonl", ".parquet"}
    files = (path for path in root.rglob("*") if path.suffix in kinds and path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _spec(bucket: Bucket, name: str = "fleet", below: str = "results") -> Path:
    server = bucket.server
    text = _SPEC.format(
        name=name,
        below=below,
        endpoint=server.endpoint,
        bucket=server.bucket,
        folder=bucket.folder,
    )
    path = bucket.work / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.mark.prove
@pytest.mark.parametrize("where", ["bucket", "other_bucket"])
def test_only_what_is_new_is_fetched(where: str, request: pytest.FixtureRequest) -> None:
    bucket: Bucket = request.getfixturevalue(where)
    stored = bucket.work / "stored"
    paths = write_fleet(stored, nodes=4)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: len(whole) // 2])
    bucket.put(stored)
    assert _counts(_pull(bucket)) == (4, 0, 0)
    assert _cached(bucket) == bucket.files()
    assert _counts(_pull(bucket)) == (0, 0, 4)

    paths[0].write_bytes(whole)
    write_fleet(stored, nodes=5)
    bucket.put(stored)
    assert _counts(_pull(bucket)) == (1, 1, 3)
    assert _cached(bucket) == bucket.files()
    assert one("SELECT count(*) FROM runs", bucket.work / "hps-cache") == 5


def test_one_request_a_file_and_none_for_what_is_here(bucket: Bucket, proxy_for: ProxyFor) -> None:
    write_fleet(bucket.work / "stored", nodes=30)
    bucket.put(bucket.work / "stored")
    proxy = proxy_for(bucket.server, gather=16)
    assert _counts(_pull(bucket, endpoint=proxy.endpoint)) == (30, 0, 0)
    asked = [request for request in proxy.requests() if request.key.endswith(".jsonl")]
    assert {request.method for request in asked} == {"GET"}
    assert len(asked) == 30
    assert len({request.client_port for request in asked}) >= 16, "they come one after the other"
    proxy.gather = 0
    proxy.clear()
    assert _counts(_pull(bucket, endpoint=proxy.endpoint)) == (0, 0, 30)
    assert [request for request in proxy.requests() if request.key.endswith(".jsonl")] == []
    assert len(proxy.requests()) <= 3, "a list of the names, and little more"


def test_other_content_of_the_same_size_is_fetched(other_bucket: Bucket) -> None:
    bucket = other_bucket
    (path,) = write_fleet(bucket.work / "stored", nodes=1)
    bucket.put(bucket.work / "stored")
    assert _counts(_pull(bucket)) == (1, 0, 0)
    path.write_bytes(path.read_bytes().replace(b"1.75.2", b"9.99.9"))
    time.sleep(3)  # servers tell times in whole seconds
    bucket.put(bucket.work / "stored")
    assert _counts(_pull(bucket)) == (0, 1, 0)
    assert _cached(bucket) == bucket.files()


def test_an_object_of_the_folders_own_name_is_not_taken_for_it(other_bucket: Bucket) -> None:
    stored, beside = other_bucket.work / "stored", other_bucket.work / "beside"
    write_fleet(stored, nodes=2)
    other_bucket.put(stored)
    beside.mkdir()
    (beside / "results").write_text("somebody's\n")
    other_bucket.put(beside, below="")
    assert _counts(_pull(other_bucket)) == (2, 0, 0)
    assert not (other_bucket.work / "hps-cache" / "results").exists()


def test_of_named_experiments_and_of_failed_runs(bucket: Bucket) -> None:
    stored = bucket.work / "stored"
    for name in ("one", "two", "three"):
        write_fleet(stored, nodes=1, experiment=name)
        write(stored / name / "m" / "run.csv", b"a,b\n")
    write(stored / "failed" / "m" / "x.jsonl", b"{}\n")
    write(stored / "compact" / "runs" / "experiment=two" / "day=1" / "runs.parquet", b"x")
    write(stored / "compact" / "runs" / "experiment=three" / "day=1" / "runs.parquet", b"x")
    write(stored / ".hidden" / "x.jsonl", b"{}\n")
    bucket.put(stored)
    assert _counts(_pull(bucket, "one", "two")) == (4, 0, 0)
    folders = {"/".join(name.split("/")[:3]) for name in _cached(bucket)}
    assert {folder.split("/")[0] for folder in folders} == {"one", "two", "failed", "compact"}
    assert "compact/runs/experiment=two" in folders
    assert "compact/runs/experiment=three" not in folders
    assert _counts(_pull(bucket)) == (2, 0, 4)
    assert not any("hidden" in name or name.endswith(".csv") for name in _cached(bucket))


def test_an_experiment_file_says_where_its_results_are(bucket: Bucket) -> None:
    stored = bucket.work / "stored"
    for name in ("mine", "others"):
        write_fleet(stored, nodes=1, experiment=name)
    bucket.put(stored, "elsewhere")
    spec = _spec(bucket, "mine", "elsewhere")
    ran = bucket.hps("pull", spec, "--format", "json")
    assert _counts(ran) == (1, 0, 0)
    assert {name.split("/")[0] for name in _cached(bucket)} == {"mine"}
    ran = bucket.hps("pull", "--from", spec, "--cache", "all", "--format", "json")
    assert _counts(ran) == (2, 0, 0)
    settings = {"EXPERIMENT": str(spec), "HPS_CACHE": "named"}
    assert _counts(bucket.hps("pull", "--format", "json", env=settings)) == (2, 0, 0)
    assert len(_cached(bucket, "named")) == 2
    # What is written on the command line comes before a variable.
    ran = bucket.hps("pull", "--from", "s3", "--folder", "none", "--format", "json", env=settings)
    assert _counts(ran) == (0, 0, 0)
    assert "no results at s3:" in ran.err


def test_names_from_the_bucket_stay_below_the_cache(other_bucket: Bucket) -> None:
    bucket, deep = other_bucket, "a/b/c/cache"
    server = bucket.server
    for name in _NAMES:
        key = quote(f"{bucket.folder}/results/{name}", safe="/.")
        target = f"/{server.bucket}/{key}"
        assert ask(server.endpoint, "PUT", target, b'{"kind":"run"}\n')[0] == 200
    ran = _pull(bucket, "--cache", deep)
    good = {name for name, is_good in _NAMES.items() if is_good}
    # Only one of two can be brought that are a file and a folder of one name: the first to come.
    clash, late = "clash.jsonl", "clash.jsonl/x.jsonl"
    if (bucket.work / deep / late).is_file():
        good, late = good - {clash} | {late}, clash
    assert set(_cached(bucket, deep)) == good
    assert {str(path) for path in bucket.work.rglob("*.jsonl") if path.is_file()} == {
        str(bucket.work / deep / name) for name in good
    }
    told = _pulled(ran)
    assert told["missing"] == {}
    assert ran.code == 0
    assert late in told["skipped"]
    assert f"{'n' * 300}.jsonl" in told["skipped"]
    shown = bucket.hps("pull", "--from", "s3", "--cache", deep)
    assert "\x1b" not in shown.out + shown.err
    assert f"skipped: {late}: " in shown.out


def test_a_file_that_cannot_be_fetched_is_named_and_fetched_the_next_time(
    bucket: Bucket, proxy_for: ProxyFor
) -> None:
    paths = write_fleet(bucket.work / "stored", nodes=3)
    bucket.put(bucket.work / "stored")
    bad, cut = paths[0].name, paths[1].name
    rules = (
        Rule(match=lambda head: head.key.endswith(bad), action=Respond(status=403), times=None),
        Rule(match=lambda head: head.key.endswith(cut), action=Truncate(after_bytes=500), times=2),
    )
    proxy = proxy_for(bucket.server, rules=rules)
    ran = _pull(bucket, endpoint=proxy.endpoint)
    assert ran.code == 1
    assert _counts(ran) == (2, 0, 0)
    assert [Path(name).name for name in _pulled(ran)["missing"]] == [bad]
    assert len(_cached(bucket)) == 2
    again = _pull(bucket)
    assert again.code == 0
    assert _counts(again) == (1, 0, 2)
    assert _cached(bucket) == bucket.files()


@pytest.mark.prove
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_pull_that_is_ended_leaves_whole_files_and_goes_on(
    bucket: Bucket, proxy_for: ProxyFor, number: signal.Signals, code: int
) -> None:
    write_fleet(bucket.work / "stored", nodes=120)
    bucket.put(bucket.work / "stored")
    stored = bucket.files()
    proxy = proxy_for(bucket.server, min_data_s=0.3)
    command = [sys.executable, "-m", "hps", "results", "pull", "--from", "s3"]
    process = subprocess.Popen(
        command,
        cwd=bucket.work,
        env={**os.environ, **bucket.env(proxy.endpoint)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline_s = time.monotonic() + _PATIENCE_S
    while not (here := _cached(bucket)):
        assert time.monotonic() < deadline_s, "nothing came"
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(_PATIENCE_S) == code
    while _held(bucket.work / "hps-cache"):
        assert time.monotonic() < deadline_s, "the copy goes on without its parent"
        time.sleep(0.05)
    here = _cached(bucket)
    assert 0 < len(here) < 120
    assert here.items() <= stored.items()
    (bucket.work / "hps-cache" / "left.jsonl.0a1b2c3d.hps-partial").write_bytes(b"half")
    assert _counts(_pull(bucket)) == (120 - len(here), 0, len(here))
    assert _cached(bucket) == stored
    assert list((bucket.work / "hps-cache").rglob("*partial*")) == []


def test_on_a_terminal_it_shows_how_far_it_is(bucket: Bucket, proxy_for: ProxyFor) -> None:
    write_fleet(bucket.work / "stored", nodes=100)
    bucket.put(bucket.work / "stored")
    proxy = proxy_for(bucket.server, min_data_s=1.5)
    main, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hps", "results", "pull", "--from", "s3"],
        cwd=bucket.work,
        env={**os.environ, **bucket.env(proxy.endpoint)},
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    with process:
        shown = _all_of(main)
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"100 new, 0 changed")
    assert process.returncode == 0
    assert re.search(rb"\r\x1b\[K\d+/100 files, .*100 listed", shown)
    assert shown.endswith(b"\r\x1b[K"), "the line is taken away"


def _all_of(descriptor: int) -> bytes:
    """What is written to a terminal until nobody has it open any more."""
    with open(descriptor, "rb", buffering=0) as stream:
        blocks = []
        with contextlib.suppress(OSError):
            while block := stream.read(4096):
                blocks.append(block)
    return b"".join(blocks)


def _held(folder: Path) -> bool:
    """True while an rclone still writes there."""
    names = {path.name for path in folder.rglob("*.hps-partial")}
    time.sleep(0.4)
    return bool(names ^ {path.name for path in folder.rglob("*.hps-partial")})


def test_two_pulls_do_not_write_to_one_folder(bucket: Bucket) -> None:
    assert _pull(bucket).code == 0
    with (bucket.work / "hps-cache" / ".hps-pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = _pull(bucket)
    assert ran.code == 1
    assert "another pull is writing to hps-cache" in ran.err
    assert _pull(bucket).code == 0


def test_what_a_run_writes_is_never_replaced(bucket: Bucket) -> None:
    stored = bucket.work / "stored"
    (path,) = write_fleet(stored, nodes=1)
    write(path, *lines(path)[:-2])
    bucket.put(stored)
    (mine,) = write_fleet(bucket.work / "hps-results", nodes=1)
    before = mine.read_bytes()
    ran = _pull(bucket, "--cache", "hps-results")
    assert ran.code == 2
    assert "holds files that no pull has brought" in ran.err
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "said"),
    [
        (("--from", "s3"), {"AWS_SECRET_ACCESS_KEY": "hunter2hunter2"}, 1, "cannot be read"),
        (("--from", "s3"), {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 1, "cannot be read"),
        (("--from", "s3"), {"BUCKET": "no-such-bucket"}, 1, "there is nothing at"),
        (("--from", "s3", "--cache", "file/x"), {}, 2, "cannot write to file/x"),
        (("--from", "s3"), {"AWS_REGION": ""}, 2, "AWS_REGION"),
        ((), {"AWS_REGION": ""}, 2, "--from is not given"),
        (("--from", "r2"), {}, 2, "CLOUDFLARE_ENDPOINT_URL"),
        (("--from", "ftp"), {}, 2, "ftp"),
        (("--from", "s3", "A/B"), {}, 2, "A/B"),
        (("--from", "s3", "{a}"), {}, 2, "is not the name of an experiment"),
        (("--from", "s3", "--cache", "file"), {}, 2, "file"),
        (("--wrong",), {}, 2, "--wrong"),
        ((str(REPOSITORY / "experiments/quickstart.yaml"),), {}, 2, "ends with each run"),
    ],
)
def test_what_is_wrong_is_said(
    bucket: Bucket, arguments: tuple[str, ...], settings: dict[str, str], code: int, said: str
) -> None:
    (bucket.work / "file").touch()
    ran = bucket.hps("pull", *arguments, env=settings)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert ran.out == ""
    assert "hunter2" not in ran.err
    assert bucket.server.secret_access_key not in ran.err
    assert "Traceback" not in ran.err


def test_a_cache_that_is_read_only_is_said_before_the_bucket_is_asked(
    bucket: Bucket, mount: Mount
) -> None:
    locked, away = mount("locked", "size=1m,ro"), {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    for cache in (locked, locked / "new"):
        ran = bucket.hps("pull", "--from", "s3", "--cache", str(cache), env=away)
        assert ran.code == 2
        assert f"cannot write to {cache}: Read-only file system" in ran.err
        assert "--cache" in ran.err


def test_events_hold_no_secret(bucket: Bucket) -> None:
    write_fleet(bucket.work / "stored", nodes=1)
    bucket.put(bucket.work / "stored")
    ran = _pull(bucket, "--log", "json")
    (event,) = [json.loads(line) for line in ran.err.splitlines()]
    assert event["event"] == "pulling"
    assert event["place"] == f"s3:{bucket.server.bucket}/{bucket.folder}/results"
    assert bucket.server.secret_access_key not in ran.out + ran.err
