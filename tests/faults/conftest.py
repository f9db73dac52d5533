"""A factory of proxies for a whole module: one sweep shows many faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ProxyFor
from tests.servers.faults import Rule
from tests.servers.proxy import RecordingProxy
from tests.servers.s3_server import S3Server


@pytest.fixture(scope="module")
def module_proxy_for() -> Iterator[ProxyFor]:
    """As `proxy_for`, until the module's tests are over."""
    with ExitStack() as stack:

        def start(
            server: S3Server,
            *,
            min_data_s: float = 0.0,
            gather: int = 0,
            rules: tuple[Rule, ...] = (),
        ) -> RecordingProxy:
            proxy = RecordingProxy(
                server.host, server.port, min_data_s=min_data_s, gather=gather, rules=rules
            )
            return stack.enter_context(proxy)

        yield start
