"""A real API server, where HPS_KUBECONFIG_TEST names the kubeconfig of one that may be tried out.

It checks every field and rule by itself. Whether pods follow is not asked, so a server alone, with
neither controllers nor nodes, is enough; where there are some, they find no image to pull.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import replace

import pytest

from hps.errors import HpsError
from hps.fleet.engine import FleetRequest
from hps.fleet.kubernetes import Kubernetes
from hps.fleet.manifest import render
from tests.fleet.test_kubernetes import REQUEST
from tests.fleet.test_kubernetes_rules import all_requests
from tests.servers.kubernetes import find_kubectl

_KEYS = {"TEST_KEY_ID": "planted-id-0123456789", "TEST_SECRET": "planted/secret+0123456789"}


@pytest.fixture
def server() -> Kubernetes:
    """The engine, with the context and the namespace of the kubeconfig."""
    kubeconfig = os.environ.get("HPS_KUBECONFIG_TEST")
    if kubeconfig is None:
        pytest.skip("HPS_KUBECONFIG_TEST names no kubeconfig of a server")
    env = {**os.environ, "HPS_KUBECTL": find_kubectl(), "KUBECONFIG": kubeconfig}
    return Kubernetes.open(env)


@pytest.fixture
def request_of_its_own() -> FleetRequest:
    """A fleet, and a Secret, that nobody else has."""
    mark = secrets.token_hex(4)
    return replace(REQUEST, fleet=f"tests-{mark}", secret=f"hps-keys-{mark}")


def _apply(server: Kubernetes, manifests: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server.program, "apply", "--dry-run=server", "--validate=strict", "--filename=-"],
        env=server.env,
        input=manifests,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_whatever_is_printed_is_accepted(server: Kubernetes) -> None:
    requests = list(all_requests())
    done = _apply(server, "---\n".join(render("kubernetes", request) for request in requests))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("job.batch/") == len(requests)


def test_a_server_refuses_what_it_does_not_know(server: Kubernetes) -> None:
    text = render("kubernetes", REQUEST)
    for old, new in (("backoffLimitPerIndex:", "backofLimit:"), ("Indexed", "NonIndexed")):
        assert _apply(server, text.replace(f" {old}", f" {new}")).returncode != 0


def test_a_fleet_from_start_to_end(server: Kubernetes, request_of_its_own: FleetRequest) -> None:
    wanted, told = request_of_its_own, list[str]()
    try:
        started = server.start(wanted, _KEYS, told.append)
        assert set(started.names) == {
            f"configmap/{wanted.name}",
            f"job.batch/{wanted.name}",
            f"secret/{wanted.secret}",
        }
        assert server.start(wanted, {}, told.append).names == started.names
        with pytest.raises(HpsError, match="another text"):
            server.start(replace(wanted, spec=replace(wanted.spec, text="")), {}, told.append)
        server.logs(wanted.name, 10)
    finally:
        rest = server.remove(wanted.name, told.append)
    assert rest is None
    assert "planted" not in " ".join(told)
