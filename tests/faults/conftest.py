"""A factory of proxies for a whole module: one sweep shows many faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import ProxyFor, proxies


@pytest.fixture(scope="module")
def module_proxy_for() -> Iterator[ProxyFor]:
    """As `proxy_for`, until the module's tests are over."""
    with proxies() as start:
        yield start
