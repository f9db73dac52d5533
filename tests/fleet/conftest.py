"""An empty cluster, and the engine that reaches it by the real kubectl."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.fleet.kubernetes import Kubernetes
from tests.servers.kubernetes import Cluster, find_kubectl, serve_kubernetes


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """It lives as long as the test."""
    with serve_kubernetes(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def engine(cluster: Cluster) -> Kubernetes:
    """Skips where there is no kubectl."""
    env = {**os.environ, "HPS_KUBECTL": find_kubectl(), "KUBECONFIG": str(cluster.kubeconfig)}
    return Kubernetes.open(env)
