"""`hps fleet` on Kubernetes: the real kubectl against a server that keeps what it is sent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.command import Ran, hps, keys_of, targets_yaml
from tests.servers.kubernetes import Cluster, find_kubectl
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
data: {{size: 1MiB}}
fleet: {{nodes: 4}}
steps: [upload, delete]
"""


class _Fleet:
    """An experiment of one test alone, and the commands about its fleet."""

    def __init__(self, folder: Path, server: S3Server, cluster: Cluster) -> None:
        self.name, self.cluster = f"kube-{folder.name}".lower(), cluster
        self.file = folder / "first.yaml"
        targets = targets_yaml(server.endpoint, server)
        self.file.write_text(_SPEC.format(name=self.name, targets=targets))
        self.env = {
            **keys_of(server),
            "HPS_FLEET": "october",
            "HPS_KUBECTL": find_kubectl(),
            "KUBECONFIG": str(cluster.kubeconfig),
        }

    def run(self, command: str, *options: str) -> Ran:
        image = ("--image", "example.com/hps:1") if command == "up" else ()
        words = ("fleet", command, str(self.file), "--engine", "kubernetes", *image, *options)
        ran = hps(*words, env={**os.environ, **self.env}, timeout_s=180)
        assert self.env["TEST_SECRET"] not in ran.out + ran.err
        return ran


@pytest.fixture
def own(tmp_path: Path, s3_server: S3Server, cluster: Cluster) -> _Fleet:
    return _Fleet(tmp_path, s3_server, cluster)


def test_a_job_is_started_ended_and_taken_down(own: _Fleet) -> None:
    up = own.run("up", "--max-hours", "2", "--format", "json")
    assert up.code == 0, up.err
    found = json.loads(up.out)
    name = f"hps-{own.name}-october"
    assert {f"jobs/{name}", f"configmaps/{name}"} <= own.cluster.names
    assert (found["asked"], found["experiment"], found["most_usd"]) == (5, None, None)
    job = own.cluster.objects["jobs", name]
    # Kubernetes ends it, whoever watches.
    assert 7100 < job["spec"]["activeDeadlineSeconds"] <= 7200
    text = own.cluster.objects["configmaps", name]["data"]["experiment.yaml"]
    assert text == own.file.read_text()
    assert own.run("up", "--max-hours", "2").code == 0

    stop = own.run("stop", "--format", "json")
    assert stop.code == 0, stop.err
    assert f"job.batch/{name}" in json.loads(stop.out)["engine"]["names"]
    down = own.run("down")
    assert (down.code, down.out) == (0, "nothing of it is there\n"), down.err
    assert own.cluster.names == set()


def test_a_start_that_a_cluster_refuses_leaves_nothing(own: _Fleet) -> None:
    own.cluster.refused["POST", "jobs"] = "quota exceeded"
    ran = own.run("up")
    assert ran.code != 0
    assert "quota exceeded" in ran.err
    assert own.cluster.names == set()


def test_a_pod_is_given_the_variables_that_the_experiment_uses(own: _Fleet) -> None:
    own.file.write_text(own.file.read_text().replace("size: 1MiB", 'size: "${MINE}"'))
    own.env["MINE"] = "1MiB"
    refused = own.run("up")
    assert (refused.code, own.cluster.names) == (2, set())
    assert "MINE" in refused.err
    assert "--env" in refused.err
    assert own.run("up", "--env", "MINE").code == 0
