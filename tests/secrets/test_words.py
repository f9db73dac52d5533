"""Development servers, whose keys are words that experiments are full of."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import Ran, hps, target_text
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
