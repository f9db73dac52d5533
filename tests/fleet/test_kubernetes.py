"""Kubernetes as an engine: the real kubectl, against a server that keeps what it is sent."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from hps.fleet.engine import Engine, FleetRequest
from hps.fleet.kubernetes import Kubernetes
from hps.model import Fleet, ResultsPlace
from tests.builders import S3, make_spec
from tests.servers.kubernetes import Cluster, serve_kubernetes

_KEYS = {"TEST_KEY_ID": "planted-id-0123456789", "TEST_SECRET": "planted/secret+0123456789"}
_TEXT = "api: hps/v1\nname: first\n"
_REQUEST = FleetRequest(
    spec=make_spec(
        name="first",
        text=_TEXT,
        targets=MappingProxyType({"s3": S3}),
        results=ResultsPlace(target="s3"),
        fleet=Fleet(nodes=4),
    ),
    fleet="october",
    file="first.yaml",
    image="example.com/hps:1",
    nodes=4,
)
_NAME = _REQUEST.name


def find_kubectl() -> str:
    """`HPS_KUBECTL`, the one beside this Python, or the one on PATH; skips where there is none."""
    beside = Path(sys.executable).parent / "kubectl"
    found = os.environ.get("HPS_KUBECTL") or (str(beside) if beside.exists() else None)
    program = found or shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl: install the extra dev, or set HPS_KUBECTL")
    return program


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serve_kubernetes(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def engine(cluster: Cluster) -> Kubernetes:
    env = {**os.environ, "HPS_KUBECTL": find_kubectl(), "KUBECONFIG": str(cluster.kubeconfig)}
    return Kubernetes.open(env)


def _pod(index: int, phase: str, **status: Any) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/name": "hps",
        "app.kubernetes.io/instance": _NAME,
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    node = f"node-{index}" if phase != "Unscheduled" else None
    phase = "Pending" if phase == "Unscheduled" else phase
    return {
        "metadata": {"name": f"{_NAME}-{index}-abcde", "labels": labels},
        "spec": {"nodeName": node},
        "status": {"phase": phase, "startTime": f"2026-11-30T12:00:{index:02}Z", **status},
    }


def _state(**state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "hps", "state": state}]


def test_a_fleet_from_start_to_end(engine: Kubernetes, cluster: Cluster) -> None:
    told: list[str] = []
    fits: Engine = engine
    assert fits.find(_NAME) is None
    started = fits.start(_REQUEST, _KEYS, told.append)
    assert cluster.names == {f"configmaps/{_NAME}", f"jobs/{_NAME}", "secrets/hps-keys"}
    assert set(started.names) == {f"configmap/{_NAME}", f"job.batch/{_NAME}", "secret/hps-keys"}
    assert (started.state, started.instances, started.remark) == ("Running", (), "")
    assert cluster.objects["configmaps", _NAME]["data"]["experiment.yaml"] == _TEXT
    assert set(cluster.objects["secrets", "hps-keys"]["data"]) == set(_KEYS)
    assert fits.find(_NAME) == started
    before = len(cluster.names), len(told)
    assert fits.start(_REQUEST, {}, told.append) == started
    assert (len(cluster.names), len(told)) == (before[0], before[1] + 1)
    assert "is there already" in told[-1]
    assert fits.remove(_NAME, told.append) is None
    assert cluster.names == set()
    assert f"job.batch/{_NAME} deleted" in told
    assert fits.remove(_NAME, told.append) is None
    assert "planted" not in " ".join(told)
