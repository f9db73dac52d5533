"""Container groups for a request: what the API takes, and what it would refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hps.errors import HpsError
from hps.fleet.salad import SaladCloud, group
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.contract.salad_document import WHY_NOT, published
from tests.fleet.salad.conftest import KEYS, fleet_request
from tests.servers.salad import GPU_CLASSES, SaladSimulation

_GPU = "RTX 3060 (12 GB)"


def _body(cloud: SaladCloud, salad: SaladSimulation, **more: Any) -> Any:
    cloud.start(fleet_request(**more), KEYS, lambda _: None)
    (body,) = salad.bodies
    return body


def test_a_group_has_all_that_a_node_needs(cloud: SaladCloud, salad: SaladSimulation) -> None:
    body = _body(
        cloud,
        salad,
        variables={"CLOUDFLARE_ENDPOINT_URL": "https://x.example.com"},
        countries=("US", "no", "us"),
        gpu_classes=("rtx 3060  (12 gb)", str(GPU_CLASSES[1]["id"]).upper()),
        priority="high",
        cpus=4,
        memory_mib=8192,
    )
    assert body == {
        "name": "hps-first-october",
        "display_name": "hps-first-october",
        "autostart_policy": True,
        "restart_policy": "on_failure",
        "replicas": 10,
        "country_codes": ["us", "no"],
        "container": {
            "image": "example.com/hps:1",
            "priority": "high",
            "resources": {
                **{"cpu": 4, "memory": 8192, "storage_amount": 10 * 1024**3},
                "gpu_classes": [GPU_CLASSES[0]["id"], GPU_CLASSES[1]["id"]],
            },
            "environment_variables": {
                "CLOUDFLARE_ENDPOINT_URL": "https://x.example.com",
                "EXPERIMENT": "s3:experiments/first.yaml",
                "HPS_FLEET": "october",
                "HPS_FLEET_GROUP": "hps-first-october",
                "HPS_FLEET_UNTIL": "2030-01-02T03:04:05Z",
                **KEYS,
            },
        },
    }


def test_the_end_is_told_in_utc(cloud: SaladCloud, salad: SaladSimulation) -> None:
    east = timezone(timedelta(hours=2))
    until = datetime(2030, 1, 2, 3, 4, 5, 999, tzinfo=east)
    variables = _body(cloud, salad, until=until)["container"]["environment_variables"]
    assert variables["HPS_FLEET_UNTIL"] == "2030-01-02T01:04:05Z"


def test_the_experiment_may_say_when_its_nodes_end(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    spec = fleet_request().spec
    assert spec.fleet is not None
    with pytest.raises(HpsError, match="nothing would end the nodes"):
        cloud.start(fleet_request(until=None), KEYS, print)
    ends = replace(spec, fleet=replace(spec.fleet, until_s=3600.0))
    variables = _body(cloud, salad, spec=ends, until=None)["container"]["environment_variables"]
    until = datetime.fromisoformat(variables["HPS_FLEET_UNTIL"])
    assert timedelta(minutes=58) < until - datetime.now(UTC) < timedelta(minutes=61)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"variables": {"LONG": "x" * 1001}}, "LONG has 1,001 characters"),
        ({"variables": {"EMPTY": ""}}, "EMPTY is empty"),
        ({"variables": {"LINES": "a\nb"}}, "LINES has several lines"),
        ({"experiment": ""}, "the nodes have no experiment"),
        ({"countries": ("us", "uk")}, "'uk' is the code of no country"),
        ({"priority": "urgent"}, "'urgent' is no priority"),
        ({"priority": "high"}, "without a GPU there is no priority high"),
        ({"gpus": 1}, "no class is named"),
        ({"gpus": 2, "gpu_classes": (_GPU,)}, "has 1 GPUs, and 2 are asked for"),
        ({"cpus": 9, "gpu_classes": (_GPU,)}, "not to be had with 9 vCPU"),
        ({"memory_mib": 61440, "gpu_classes": (_GPU,)}, "not to be had with 61,440 MB"),
        ({"cpus": 17}, "17 vCPU"),
        ({"memory_mib": 1000}, "1,000 MB of memory"),
        ({"storage_bytes": 10**9}, "bytes of storage"),
        ({"storage_bytes": 251 * 1024**3}, "bytes of storage"),
        ({"image": ""}, "--image"),
        ({"image": "a\nb"}, "--image"),
    ],
)
def test_what_the_api_would_refuse_is_not_sent(
    cloud: SaladCloud, salad: SaladSimulation, more: dict[str, Any], named: str
) -> None:
    with pytest.raises(HpsError, match=named) as raised:
        cloud.start(fleet_request(**more), KEYS, lambda _: None)
    assert raised.value.hint
    assert salad.requests("POST", "/containers") == 0


def test_nodes_need_a_bucket_in_common(cloud: SaladCloud, salad: SaladSimulation) -> None:
    text = "api: hps/v1\nname: a\ntargets: {l: {provider: embedded}}\ndata: {size: 1MiB}\n"
    content = f"{text}steps: [upload]\n".encode()
    spec = load(SpecText(name="a.yaml", content=content), env={})
    with pytest.raises(HpsError, match="'a' keeps its results on each node"):
        cloud.start(fleet_request(spec=spec), KEYS, lambda _: None)
    assert salad.groups == {}


@pytest.mark.parametrize("value", ["s" * 1001, "two\nlines-of-a-key", ""])
def test_a_secret_that_cannot_be_sent_is_named_and_not_shown(cloud: SaladCloud, value: str) -> None:
    with pytest.raises(HpsError, match="TEST_SECRET") as raised:
        cloud.start(fleet_request(), {**KEYS, "TEST_SECRET": value}, lambda _: None)
    shown = raised.value.message + raised.value.hint
    assert not value or value[:20] not in shown


@pytest.mark.parametrize("value", ["x" * 1000, "x", "ü€😀" * 300])
def test_the_longest_and_shortest_values_are_taken(
    cloud: SaladCloud, salad: SaladSimulation, value: str
) -> None:
    body = _body(cloud, salad, variables={"ANY": value})
    assert body["container"]["environment_variables"]["ANY"] == value


@pytest.mark.parametrize(
    ("name", "near"), [("RTX 4090", "'RTX 4090"), ("rtx4080", "RTX 4080"), ("zzz", "fleet plan")]
)
def test_an_unknown_class_is_answered_by_those_that_are_near(
    cloud: SaladCloud, name: str, near: str
) -> None:
    with pytest.raises(HpsError, match=f"no GPU class '{name}'") as raised:
        cloud.render(fleet_request(gpu_classes=(name,)))
    assert near in raised.value.hint


def test_what_is_rendered_is_what_is_sent_but_for_the_secrets(
    cloud: SaladCloud, salad: SaladSimulation
) -> None:
    request = fleet_request(nodes=900, variables={"MY_TOKEN": "tokentoken"})
    shown = cloud.render(request)
    assert salad.groups == {}
    cloud.start(request, KEYS, lambda _: None)
    for value in (*KEYS.values(), "tokentoken", salad.key):
        assert value not in shown
    for name, value in {**KEYS, "MY_TOKEN": "tokentoken"}.items():
        shown = shown.replace(f'"[{name}]"', json.dumps(value))
    address = f"POST {salad.url}/organizations/acme-corp/projects/dev-env/containers\n"
    parts = shown.split(address)[1:]
    assert [json.loads(part) for part in parts] == salad.bodies
    assert [len(part) > 100 for part in parts] == [True] * 3


@pytest.mark.parametrize(
    ("asked", "sizes"), [(1, [1]), (500, [500]), (501, [500, 1]), (1125, [500, 500, 125])]
)
def test_a_group_has_at_most_500_replicas(asked: int, sizes: list[int]) -> None:
    assert list(group.sizes(asked)) == sizes


def test_the_countries_are_those_of_the_document() -> None:
    document = published()
    if document is None:
        pytest.skip(WHY_NOT)
    codes = document["components"]["schemas"]["CountryCode"]["enum"]
    assert group.countries(codes) == tuple(codes)
    assert len(group._COUNTRIES) == len(codes)


def test_the_longest_names_of_fleets_differ_and_fit() -> None:
    names = {fleet_request(fleet=f"{'f' * 62}{number}").name for number in range(9)}
    assert len(names) == 9
    for name in names:
        assert group.NAME.fullmatch(group.numbered(name, group.MOST_GROUPS))
