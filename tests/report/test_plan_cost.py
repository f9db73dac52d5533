"""What a plan costs, before anything is paid."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from hps.catalog.prices import PRICES
from hps.model import Provider, Spec
from hps.plan.estimate import Estimate, estimate, requests
from hps.plan.expand import expand
from hps.report import plan_text
from tests.builders import MIB, S3, axis, make_spec, step, steps


def _spec(provider: Provider) -> Spec:
    target = replace(S3, provider=provider)
    return make_spec(
        axis("concurrency", 1, 2), targets=MappingProxyType({"local": target}), repetitions=3
    )


def _estimate(spec: Spec) -> Estimate:
    return estimate(expand(spec))


def test_requests_and_downloads_cost_what_the_provider_asks() -> None:
    taken = _estimate(_spec("aws"))
    counted = taken.requests
    gigabytes = taken.down_bytes / 1e9
    expected = counted.class_a * 5e-6 + counted.class_b * 0.4e-6 + gigabytes * 0.09
    assert taken.dollars == {"aws": pytest.approx(expected)}
    assert taken.down_bytes == 6 * 20 * MIB


def test_each_provider_is_counted_by_itself() -> None:
    both = {
        "near": replace(S3, name="near", provider="cloudflare"),
        "far": replace(S3, name="far", provider="aws"),
    }
    spec = make_spec(
        axis("target", "near", "far"), targets=MappingProxyType(both), steps=steps("upload")
    )
    plan = expand(spec)
    taken = estimate(plan)
    assert set(taken.dollars) == {"cloudflare", "aws"}
    (near, far) = (requests(operation) for operation in plan.operations)
    assert near == far
    assert taken.dollars["cloudflare"] == pytest.approx(
        near.class_a * 4.5e-6 + near.class_b * 0.36e-6
    )
    assert taken.dollars["aws"] == pytest.approx(far.class_a * 5e-6 + far.class_b * 0.4e-6)


def test_the_plan_says_what_it_costs_and_at_which_prices() -> None:
    plan = expand(_spec("cloudflare"))
    text = plan_text.render(plan, estimate(plan))
    known = PRICES["cloudflare"]
    (line,) = (line for line in text.splitlines() if line.startswith("cost"))
    assert line.split(maxsplit=1)[1].startswith("about $0.0001")
    assert line.endswith(f"at Cloudflare R2's list prices of {known.as_of}")


def test_what_a_price_assumes_is_said() -> None:
    plan = expand(_spec("aws"))
    assert "(us-east-1, to the internet" in plan_text.render(plan, estimate(plan))


@pytest.mark.parametrize("provider", ["minio", "other"])
def test_without_known_prices_there_is_no_line(provider: Provider) -> None:
    plan = expand(_spec(provider))
    taken = estimate(plan)
    assert taken.dollars == {provider: None}
    assert "cost" not in plan_text.render(plan, taken)


def test_programs_get_the_dollars_too() -> None:
    plan = expand(_spec("aws"))
    taken = estimate(plan)
    data = json.loads("".join(plan_text.as_json(plan, taken)))
    assert data["estimate"]["dollars"] == taken.dollars


def test_what_costs_nothing_is_zero_and_not_unknown() -> None:
    pause = make_spec(
        targets=MappingProxyType({"local": replace(S3, provider="aws")}),
        steps=(step("pause", duration_s=1.0),),
    )
    assert _estimate(pause).dollars == {"aws": 0.0}
