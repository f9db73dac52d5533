"""The experiments that ship: each is valid and planned, and the published one runs as published."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import REPOSITORY, hps
from tests.servers.rclone_client import remote_environment
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

EXPERIMENTS = sorted((REPOSITORY / "experiments").glob("*.yaml"))
_R2 = {"CLOUDFLARE_ENDPOINT_URL": "https://0123456789abcdef.r2.cloudflarestorage.com"}


def test_there_are_the_promised_ones() -> None:
    assert {path.stem for path in EXPERIMENTS} >= {
        "quickstart",
        "salad-r2-benchmark",
        "chunk-concurrency-sweep",
        "http2-or-not",
    }


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_it_is_valid_has_the_modeline_and_can_be_planned(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/experiment.schema.json"

    assert hps("validate", "--any-machine", path, env=_R2).code == 0
    plan = json.loads(hps("plan", path, "--format", "json", env=_R2).out)
    assert plan["operations"]
    assert plan["estimate"]["operations"] == len(plan["operations"])


def test_the_printed_commands_run_when_they_are_pasted(s3_server: S3Server, tmp_path: Path) -> None:
    env = {
        "CLOUDFLARE_ENDPOINT_URL": s3_server.endpoint,
        "CLOUDFLARE_ID": s3_server.access_key_id,
        "CLOUDFLARE_KEY": s3_server.secret_access_key,
        "BUCKET": s3_server.bucket,
        "FOLDER": "pasted",
        "SIZE": "20",
    }
    planned = hps("plan", "experiments/salad-r2-benchmark.yaml", "--format", "commands", env=env)
    assert planned.code == 0, planned.err
    assert s3_server.secret_access_key not in planned.out
    rclone = Path(find_rclone())
    assert "/tmp" not in planned.out
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", planned.out],
        env={
            "TMPDIR": str(tmp_path / "work"),
            "PATH": f"{rclone.parent}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = next((tmp_path / "work").glob("*/payload/**/*.bin"))
    came_back = next((tmp_path / "work").glob("*/down/**/*.bin"))
    assert made.read_bytes() == came_back.read_bytes()


@pytest.mark.prove
def test_the_published_benchmark_runs_unchanged_with_its_own_variables(
    s3_server: S3Server, tmp_path: Path
) -> None:
    env = {
        "CLOUDFLARE_ENDPOINT_URL": s3_server.endpoint,
        "CLOUDFLARE_REGION": "auto",
        "CLOUDFLARE_ID": s3_server.access_key_id,
        "CLOUDFLARE_KEY": s3_server.secret_access_key,
        "SALAD_MACHINE_ID": "LOCAL_001",
        "BUCKET": s3_server.bucket,
        "FOLDER": "published",
        "SIZE": "100",
        "ULSPEED": "1",
        "DLSPEED": "1",
    }

    ran = hps("run", "experiments/salad-r2-benchmark.yaml", "--output", tmp_path, env=env)

    assert ran.code == 0, ran.err
    folder = f"T:{s3_server.bucket}/published/results/salad-r2-benchmark/LOCAL_001"
    listed = _rclone_out(s3_server, "lsf", folder).split()
    assert sorted(Path(name).suffix for name in listed) == [".csv", ".jsonl", ".txt"]
    table = _rclone_out(s3_server, "cat", f"{folder}/{Path(listed[0]).stem}.txt")
    assert table == ran.out
    lines = _rclone_out(s3_server, "cat", f"{folder}/{Path(listed[0]).stem}.jsonl").splitlines()
    upload = next(r for r in map(json.loads, lines) if r.get("step") == "upload")
    assert upload["effective"]["chunk_size_bytes"] == 10 * 1024**2
    # On loopback as many may not be seen in flight, and then nothing is told.
    assert upload["requested"]["concurrency"] == 10
    assert upload["effective"]["concurrency"] in {None, 10}
    left = _rclone_out(s3_server, "lsf", "-R", "--files-only", f"T:{s3_server.bucket}/published")
    assert all(name.startswith("results/") for name in left.split())


def _rclone_out(server: S3Server, *arguments: str) -> str:
    return subprocess.run(
        [find_rclone(), *arguments],
        env=remote_environment(server),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_the_printed_embedded_server_can_be_started_as_printed(tmp_path: Path) -> None:
    planned = hps("plan", "experiments/quickstart.yaml", "--format", "commands")
    start = next(line for line in planned.out.splitlines() if "serve s3" in line)
    command = start.lstrip("# ").replace("$SERVED", str(tmp_path)).replace(":8333", ":0")
    keys = {"HPS_EMBEDDED_KEY_ID": "k" * 20, "HPS_EMBEDDED_SECRET": "s" * 20}
    with subprocess.Popen(
        ["bash", "-c", f"exec timeout 60 env {command} --use-json-log"],
        env={"PATH": f"{Path(find_rclone()).parent}:/usr/bin:/bin", **keys},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        said = ""
        while "Starting s3 server" not in said and "Failed" not in said:
            said = server.stderr.readline()
            assert said, "it ended"
        server.terminate()
    assert "Starting s3 server" in said
