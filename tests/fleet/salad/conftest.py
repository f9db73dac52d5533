"""A simulated SaladCloud, and requests for fleets on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hps.fleet.engine import FleetRequest
from hps.fleet.salad import SaladCloud
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.servers.salad import SaladSimulation, simulated_salad

KEYS = {"TEST_KEY_ID": "AKIAPLANTED0123", "TEST_SECRET": "planted/planted+planted/0123"}
_SPEC = """\
api: hps/v1
name: first
targets:
  s3: {provider: other, endpoint: "https://s3.example.com", bucket: b,
       access_key_id: {env: TEST_KEY_ID}, secret_access_key: {env: TEST_SECRET}}
data: {size: 1MiB}
fleet: {nodes: 8}
steps: [upload, delete]
"""


def fleet_request(**more: Any) -> FleetRequest:
    """A request that SaladCloud can serve, but for what `more` changes."""
    given: Mapping[str, Any] = {
        "spec": load(SpecText(name="first.yaml", content=_SPEC.encode()), env={}),
        "fleet": "october",
        "file": "first.yaml",
        "image": "example.com/hps:1",
        "nodes": 8,
        "experiment": "s3:experiments/first.yaml",
        "until": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
        **more,
    }
    return FleetRequest(**given)


@pytest.fixture
def salad() -> Iterator[SaladSimulation]:
    """An organization without groups. What breaks SaladCloud's own document fails the test."""
    with simulated_salad() as simulation:
        yield simulation
        assert simulation.wrong == []


@pytest.fixture
def slept() -> list[float]:
    """How long the client waited, or would have."""
    return []


@pytest.fixture
def cloud(salad: SaladSimulation, slept: list[float]) -> SaladCloud:
    """The engine, which waits for nothing but answers, and for those not long."""
    return impatient(SaladCloud.open(salad.env()), slept.append)


def impatient(cloud: SaladCloud, sleep: Callable[[float], None]) -> SaladCloud:
    """The same engine with short time-outs, and another way to wait."""
    client = replace(cloud.client, timeout_s=1.0, sleep=sleep)
    return replace(cloud, client=client, sleep=sleep, gone_s=0.0)
