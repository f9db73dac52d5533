"""SaladCloud's own OpenAPI document as the judge: by this suite, and by Prism, another program."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.fleet.salad import SaladCloud
from tests.contract.salad_document import (
    PUBLISHED,
    WHY_NOT,
    published,
    wrong_answer,
    wrong_request,
)
from tests.fleet.salad.conftest import KEYS, fleet_request
from tests.servers.child import ask, running
from tests.servers.salad import GPU_CLASSES, ORGANIZATION, PROJECT, SaladSimulation

# Read at once: while tests run, the environment holds no settings of the machine.
_PRISM = os.environ.get("HPS_PRISM", "")
_GROUPS = f"/organizations/{ORGANIZATION}/projects/{PROJECT}/containers"
_LISTENING = re.compile(r"Prism is listening on (http://127\.0\.0\.1:\d+)")
_Exchange = tuple[str, str, bytes]


@pytest.fixture
def exchanges(cloud: SaladCloud, salad: SaladSimulation) -> list[_Exchange]:
    """Each request of a fleet's life, as the simulation was sent it."""
    named = (str(GPU_CLASSES[0]["name"]),)
    request = fleet_request(
        nodes=500, gpu_classes=named, countries=("us", "no"), variables={"UNICODE": "ü€😀"}
    )
    cloud.offers(request)
    name = cloud.start(request, KEYS, lambda _: None).names[0]
    cloud.logs(name, 9)
    cloud.remove(name, lambda _: None)
    seen = [(*asked, sent) for asked, sent in zip(salad.asked, salad.sent, strict=True)]
    assert len({(method, path) for method, path, _ in seen}) >= 9
    return seen


def _spoiled(exchanges: list[_Exchange]) -> Iterator[_Exchange]:
    """Requests that SaladCloud refuses."""
    body = next(sent for method, path, sent in exchanges if (method, path) == ("POST", _GROUPS))
    good = json.loads(body)
    container = good["container"]
    resources = {**container["resources"], "memory": 512}
    for wrong in (
        {"replicas": 501},
        {"name": "Upper"},
        {"restart_policy": "sometimes"},
        {"country_codes": ["uk"]},
        {"container": {**container, "environment_variables": {"A": "x" * 1001}}},
        {"container": {**container, "environment_variables": {"A": 1}}},
        {"container": {**container, "resources": resources}},
        {"container": {**container, "priority": "urgent"}},
    ):
        yield "POST", _GROUPS, json.dumps({**good, **wrong}).encode()


def test_the_document_judges_what_is_sent_and_answered(exchanges: list[_Exchange]) -> None:
    if published() is None:
        pytest.skip(WHY_NOT)
    assert [wrong for one in exchanges if (wrong := wrong_request(*one))] == []
    assert [one for one in _spoiled(exchanges) if not wrong_request(*one)] == []
    assert wrong_request("GET", f"{_GROUPS}/Upper", b"")
    assert wrong_request("GET", "/organizations/acme-corp/nothing", b"")
    assert wrong_answer("GET", _GROUPS, 200, b"{}")
    assert wrong_answer("GET", _GROUPS, 200, b'{"items": [{}]}')
    assert wrong_answer("DELETE", f"{_GROUPS}/a1", 200, b"")


@pytest.fixture
def prism(tmp_path: Path) -> Iterator[str]:
    """The address of a Prism that mocks SaladCloud's API and checks what it is sent."""
    if not _PRISM:
        pytest.skip("HPS_PRISM names no Prism: npm install @stoplight/prism-cli@5.16.0")
    if published() is None:
        pytest.skip(WHY_NOT)
    command = [_PRISM, "mock", "--host", "127.0.0.1", "--port", "0", str(PUBLISHED)]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1"}
    with running(command, env=env, log=tmp_path / "prism.log") as child:
        yield child.wait_for_output(_LISTENING)[1]


def test_prism_takes_what_is_sent_and_refuses_what_salad_cloud_would(
    prism: str, exchanges: list[_Exchange]
) -> None:
    headers = {"Salad-Api-Key": "k", "Content-Type": "application/json"}
    answered = [
        (method, path, ask(prism, method, path, body or None, headers=headers)[0])
        for method, path, body in exchanges
    ]
    assert [one for one in answered if not 200 <= one[2] < 300] == []
    refused = [ask(prism, *one, headers=headers)[0] for one in _spoiled(exchanges)]
    assert refused == [400] * len(refused)
    assert ask(prism, "GET", _GROUPS)[0] == 401
