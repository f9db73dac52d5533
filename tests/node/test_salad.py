from __future__ import annotations

import socket

from hps.node.metadata import MetadataClient
from hps.node.salad import leave, on_salad

ON_SALAD = {"SALAD_MACHINE_ID": "m", "SALAD_CONTAINER_GROUP_ID": "g"}


def test_ids_without_a_service_are_not_salad() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = MetadataClient(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert not on_salad(ON_SALAD, client)


def test_leaving_without_a_service_waits_and_says_so() -> None:
    waited: list[float] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = MetadataClient(base_url=url, sleep=waited.append)
        text = leave(client, "slow", sleep=waited.append)
    assert waited == [1.0, 2.0, 120.0]
    expected = "another node was asked for in vain (no connection: Connection refused)"
    assert text == f"{expected}; still here after 120 s"
