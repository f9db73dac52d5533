"""Prices: dated, sourced, and counted into dollars that somebody could check by hand."""

from __future__ import annotations

from datetime import date

import pytest

from hps.catalog import prices
from hps.catalog.prices import PRICES, dollars, dollars_per_gb, requests_per_gb
from hps.catalog.providers import PROVIDERS

GB = 1_000_000_000


def test_prices_are_those_of_providers_that_anybody_pays() -> None:
    assert set(PRICES) <= {name for name, facts in PROVIDERS.items() if facts.host}


@pytest.mark.parametrize("name", [*PRICES])
def test_each_price_list_has_its_day_and_its_source(name: str) -> None:
    known = PRICES[name]
    assert date(2024, 1, 1) < date.fromisoformat(known.as_of) < date(2027, 1, 1)
    assert known.source.startswith("https://")
    assert known.title
    assert min(known.class_a_per_million, known.class_b_per_million, known.egress_per_gb) >= 0


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRICES["aws"] = None  # type: ignore[index]


@pytest.mark.parametrize(
    ("provider", "direction", "expected"),
    [
        # 10 GB up in 1,000 parts with 2 more requests each way; 10 GB down in 1,000 ranges.
        ("cloudflare", "up", (1002 * 4.50 + 0.36) / 1e6 / 10),
        ("cloudflare", "down", (1002 * 4.50 + 0.36) / 1e6 / 10),
        ("aws", "up", (1002 * 5.00 + 0.40) / 1e6 / 10),
        ("aws", "down", (1002 * 5.00 + 0.40) / 1e6 / 10 + 0.09),
        ("backblaze", "up", 0.40 / 1e6 / 10),
        ("backblaze", "down", 0.40 / 1e6 / 10 + 0.01),
    ],
)
def test_dollars_for_each_gb(provider: str, direction: str, expected: float) -> None:
    found = dollars_per_gb(provider, 1002, 1, 10 * GB, direction)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("provider", ["embedded", "minio", "other", "", "azure"])
def test_own_hardware_and_unknown_providers_have_no_dollars(provider: str) -> None:
    assert dollars_per_gb(provider, 1, 1, GB, "down") is None
    assert dollars(provider, 1, 1, GB) is None


def test_what_moves_nothing_has_no_price_for_each_gb() -> None:
    assert dollars_per_gb("aws", 1, 1, 0, "none") is None
    assert requests_per_gb(1, 1, 0) is None


def test_requests_of_both_classes_count() -> None:
    assert requests_per_gb(22, 3, 200 * 1024**2) == pytest.approx(25 / 0.2097152)


def test_smaller_chunks_cost_more() -> None:
    few = prices.dollars_per_gb("cloudflare", 5, 1, GB, "up")
    many = prices.dollars_per_gb("cloudflare", 200, 1, GB, "up")
    assert few is not None
    assert many is not None
    assert many > few
