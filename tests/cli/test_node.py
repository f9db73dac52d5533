"""`hps node`: what this machine is, and what an experiment makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import hps, keys_of, targets_yaml
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: node-command
{targets}
node: {{{rules}}}
data: {{size: 5MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, delete]
"""


def test_without_an_experiment_it_prints_the_facts() -> None:
    ran = hps("node", env={"SALAD_MACHINE_ID": "m-17", "HPS_COUNTRY": "no"})

    assert ran.code == 0, ran.err
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert facts["machine"] == "m-17"
    assert facts["country"] == "NO"
    assert "MB/s" in ran.out
    assert "node_examined" in ran.err
    assert "min_upload" not in ran.out


def test_as_json_it_is_what_a_run_stores() -> None:
    ran = hps("node", "--format", "json")

    found = json.loads(ran.out)
    assert set(found) == {"node"}
    assert found["node"]["rclone_version"]
    assert found["node"]["disk"]["write_mb_per_s"]["value"] > 0


@pytest.mark.prove
@pytest.mark.parametrize(("bound", "code", "outcome"), [(1, 0, "pass"), (10**6, 3, "fail")])
def test_with_an_experiment_it_probes_and_judges(
    bound: int, code: int, outcome: str, s3_server: S3Server, tmp_path: Path
) -> None:
    spec = tmp_path / "node.yaml"
    targets = targets_yaml(s3_server.endpoint, s3_server)
    rules = f"min_upload: {bound}Mbps, max_rtt: 10s, probe: {{seconds: 3}}"
    spec.write_text(_SPEC.format(targets=targets, rules=rules))

    ran = hps("node", spec, env=keys_of(s3_server))

    assert ran.code == code, ran.err
    (line,) = [line for line in ran.out.splitlines() if line.startswith("min_upload")]
    assert outcome in line.split()
    assert "rtt to store" in ran.out
    assert ran.out.splitlines()[-1] == ("accepted" if code == 0 else "rejected: exit")
    listed = run_rclone(
        ["lsf", "-R", "--files-only", f"T:{s3_server.bucket}/tests"],
        env=remote_environment(s3_server),
    ).stdout
    assert "node-command" not in listed
