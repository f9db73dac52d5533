"""The image does what its users are told: one command, one experiment, results, an exit code."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.container import box as boxes
from tests.container.box import Box
from tests.container.conftest import Built
from tests.servers.rclone_s3 import BUCKET, serve_s3

pytestmark = pytest.mark.skipif(
    not os.environ.get("IMAGE_TEST"), reason="make image-test builds the image and runs it"
)

_QUICK = {"EXPERIMENT": "experiments/quickstart.yaml"}
_SMALL = ("run", "--set", "data.size=5MiB", "--set", "repetitions=1")
_COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "make", "go", "rustc")
_OWN_LAYERS_MAX_BYTES = 300e6


def test_the_image_says_what_it_is(built: Built) -> None:
    config = built.buildah.config(built.name)
    assert config["Entrypoint"] == ["hps"]
    assert config["Cmd"] == ["run"]
    assert not config.get("User")
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert labels["version"] == built.version
    assert labels["revision"] == built.revision
    assert labels["base.name"] == built.base


def test_the_quickstart_runs_as_it_is(box: Box) -> None:
    ended = box.run(env=_QUICK)
    assert ended.code == 0, ended.err
    assert "chunk_size" in ended.out
    records = box.records("/results/quickstart")
    assert {record["status"] for record in records if record["kind"] == "result"} == {"ok"}


def test_any_user_will_do(box: Box) -> None:
    env = {**_QUICK, "HPS_OUTPUT": "/results/of-1234"}
    ended = box.run(*_SMALL, env=env, user="1234:1234")
    assert ended.code == 0, ended.err
    assert {path.stat().st_uid for path in box.root.glob("results/of-1234/**/*.jsonl")} == {1234}


def test_the_published_line_needs_no_more_than_the_image(box: Box, tmp_path: Path) -> None:
    with serve_s3(tmp_path) as server:
        published = {
            "CLOUDFLARE_ENDPOINT_URL": server.endpoint,
            "CLOUDFLARE_REGION": "auto",
            "CLOUDFLARE_ID": server.access_key_id,
            "CLOUDFLARE_KEY": server.secret_access_key,
            "SALAD_MACHINE_ID": "LOCAL_001",
            "BUCKET": server.bucket,
            "FOLDER": "high_performance_storage",
            "SIZE": "20",
            "ULSPEED": "1",
            "DLSPEED": "1",
        }
        ended = box.run(env=published)
    assert ended.code == 0, ended.err
    stored = tmp_path / BUCKET / "high_performance_storage/results/salad-r2-benchmark/LOCAL_001"
    records = boxes.read_records(stored)
    steps = [record["step"] for record in records if record["kind"] == "result"]
    assert sorted(steps) == ["delete", "download", "upload", "verify"]
    assert server.secret_access_key not in ended.out + ended.err


def test_sigterm_ends_process_1_with_its_results_stored(box: Box) -> None:
    started = box.start(env={**_QUICK, "HPS_OUTPUT": "/results/stopped"})
    box.wait_for_result("/results/stopped")
    started.send(signal.SIGTERM)
    ended = started.end()
    assert ended.code == 128 + signal.SIGTERM, ended.err
    assert not [*box.root.glob("tmp/hps-*")], "the payload is left behind"
    (journal,) = box.root.glob("results/stopped/**/*.jsonl")
    assert journal.with_suffix(".csv").exists()
    assert journal.with_suffix(".txt").exists()


def test_sigterm_ends_process_1_while_the_experiment_is_still_read(box: Box) -> None:
    long = box.root / "app/experiments/long.yaml"
    long.write_text(f"api: hps/v1\nname: long\nmatrix: [{'1, ' * 300_000}1]\n")
    started = box.start(env={"EXPERIMENT": "experiments/long.yaml"})
    started.wait_until_caught(signal.SIGTERM)
    started.send(signal.SIGTERM)
    assert started.end().code == 128 + signal.SIGTERM
    long.unlink()


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ("", "no experiment"),
        ("experiments/nowhere.yaml", "experiments/nowhere.yaml"),
        ("experiments/salad-r2-benchmark.yaml", "CLOUDFLARE_ENDPOINT_URL"),
    ],
    ids=["none", "missing", "without-its-variables"],
)
def test_no_experiment_is_a_mistake_and_no_loop(box: Box, experiment: str, said: str) -> None:
    ended = box.run(env={"EXPERIMENT": experiment})
    assert ended.code == 2
    assert said in ended.err
    assert not ended.out


def test_nothing_is_in_it_that_it_can_do_without(built: Built, box: Box) -> None:
    for name in _COMPILERS:
        assert not [*box.root.glob(f"usr/**/bin/{name}")], name
    assert not [*box.root.glob("var/lib/apt/lists/*")]
    assert not [*box.root.glob("var/cache/apt/archives/*.deb")]
    assert not [*box.root.glob("root/.cache/*")]
    assert not [*box.root.glob("tmp/*")]
    assert {path.name for path in box.root.glob("app/*")} == {
        "constraints.txt",
        "experiments",
        "pyproject.toml",
        "schemas",
    }
    assert _size_bytes(box.root) - _base_size_bytes(built) < _OWN_LAYERS_MAX_BYTES


def test_the_settings_of_the_builder_stay_outside(box: Box) -> None:
    settings = box.root / "etc/pip.conf"
    assert not settings.exists() or settings.stat().st_size == 0


def test_packages_of_the_base_are_seen_and_kept(box: Box) -> None:
    """The base's pip stands in for its torch: both are found where the base has them."""
    python = Box(root=box.root, config={**box.config, "Entrypoint": ["/opt/hps/bin/python"]})
    ended = python.run("-c", "import pip, hps; print(pip.__file__); print(hps.__file__)")
    of_pip, of_hps = ended.out.split()
    assert of_pip.startswith("/usr/lib/python3")
    assert of_hps.startswith("/opt/hps/")
    assert not [*box.root.glob("opt/hps/lib/python*/site-packages/torch")]


def test_the_tools_that_are_there_are_those_that_the_build_was_told(box: Box) -> None:
    ended = box.run("tools", "--format", "json")
    assert ended.code == 0, ended.err
    here = {tool["name"] for tool in json.loads(ended.out) if tool["here"]}
    assert here == {"rclone", "s5cmd"}


def test_git_is_there_for_experiments_kept_in_git(box: Box) -> None:
    git = Box(root=box.root, config={**box.config, "Entrypoint": ["git"]})
    assert git.run("--version").code == 0


def _size_bytes(root: Path) -> int:
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())


def _base_size_bytes(built: Built) -> int:
    container = built.buildah("from", built.base)
    size = _size_bytes(Path(built.buildah("mount", container)))
    built.buildah("rm", container)
    return size
