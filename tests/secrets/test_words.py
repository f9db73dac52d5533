"""Development servers, whose keys are words that experiments are full of."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hps.run_folder import is_run_id
from tests.command import Ran, hps, target_text
from tests.results.test_schema import VALIDATOR
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: test-run
targets:
{target}
data: {{size: 100KiB}}
steps: [upload, download, verify, delete]
"""


def _run(server: S3Server, folder: Path, keys: dict[str, str]) -> tuple[Ran, Path]:
    """moto takes any keys."""
    target = target_text("test", server.endpoint, server.bucket, folder="words")
    (folder / "s.yaml").write_text(_SPEC.format(target=target))
    ran = hps("run", folder / "s.yaml", "--output", folder / "out", "--fresh", env=keys)
    return ran, next((folder / "out").rglob("*.jsonl"))


def test_names_stay_as_they_are(moto_server: S3Server, tmp_path: Path) -> None:
    keys = {"TEST_KEY_ID": "test", "TEST_SECRET": "upload"}
    ran, journal = _run(moto_server, tmp_path, keys)

    assert ran.code == 0, ran.err
    run, *results = (json.loads(line) for line in journal.read_text().splitlines())
    assert (run["experiment"], *run["targets"]) == ("test-run", "test")
    assert [record["step"] for record in results] == ["upload", "download", "verify", "delete"]
    assert {record["target"] for record in results} == {"test"}
    told = [line for line in ran.err.splitlines() if "secrets_are_words" in line]
    assert len(told) == 1
    assert json.loads(told[0])["names"] == ["TEST_KEY_ID", "TEST_SECRET"]
    assert json.loads(told[0])["level"] == "warning"
    assert f"{tmp_path}/out/test-run/" in ran.err


def test_a_word_that_stands_nowhere_is_a_secret(moto_server: S3Server, tmp_path: Path) -> None:
    keys = {"TEST_KEY_ID": "absentword", "TEST_SECRET": "downloader"}
    ran, journal = _run(moto_server, tmp_path, keys)

    assert ran.code == 0, ran.err
    assert "secrets_are_words" not in ran.err
    for word in keys.values():
        assert word not in journal.read_text() + ran.err + ran.out


_EXPERIMENT = "test-run"
_MACHINE = "node-of-2026-words"
# What other programs call their settings, and what is in them.
_AROUND = {
    "PARTITION_KEY": "operation_id",
    "SORT_KEY": "started_at",
    "CACHE_KEY": _EXPERIMENT,
    "SHARD_KEY": "throughput_mbps",
    "FOREIGN_KEY": "reason_code",
    "ROUTING_KEY": "interrupted",
    "DEPLOY_KEY": _MACHINE,
    "SALAD_MACHINE_ID": _MACHINE,
}


@pytest.mark.prove
@pytest.mark.parametrize(
    "words", [("2026", "kind"), ("rclone", "trial"), ("failed", "status"), ("run_id", "cell")]
)
def test_what_we_made_ourselves_stays_what_it_is(
    moto_server: S3Server, tmp_path: Path, words: tuple[str, str]
) -> None:
    folder = f"words/{words[0]}"
    target = target_text("s3", moto_server.endpoint, moto_server.bucket, folder=folder)
    (tmp_path / "s.yaml").write_text(_SPEC.format(target=target))
    env = {**_AROUND, "TEST_KEY_ID": words[0], "TEST_SECRET": words[1]}

    ran = hps("run", tmp_path / "s.yaml", "--output", tmp_path / "out", env=env)

    assert ran.code == 0, ran.err
    (journal,) = (tmp_path / "out" / _EXPERIMENT / _MACHINE).glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
        assert (line["run_id"], line["machine_id"]) == (journal.stem, _MACHINE)
        assert line["experiment"] == _EXPERIMENT
        assert is_run_id(line["run_id"])
    with journal.with_suffix(".csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["operation_id"] for row in rows] == [line["operation_id"] for line in lines[1:]]
    assert [row["started_at"] for row in rows] == [line["started_at"] for line in lines[1:]]
    events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert [e["status"] for e in events if e["event"] == "operation_done"] == ["ok"] * len(rows)
    assert [e["run_id"] for e in events if e["event"] == "run_done"] == [journal.stem]
    (told,) = [e for e in events if e["event"] == "secrets_are_words"]
    assert {"CACHE_KEY", "DEPLOY_KEY"} <= set(told["names"])

    # What was stored is found again, here and in the bucket.
    for place in (tmp_path / "out", tmp_path / "elsewhere"):
        again = hps("run", tmp_path / "s.yaml", "--output", place, env=env)
        assert again.code == 0, again.err
        assert f"in run {journal.stem};" in again.err
