"""The requests of stored results are those that the plan counts."""

from __future__ import annotations

import pytest

from hps.compare.panels import payload_bytes, requests_of
from hps.model import KnobValue
from hps.plan.estimate import Requests, requests
from tests.builders import MIB, make_operation


@pytest.mark.parametrize("kind", ["upload", "download", "sync_up", "sync_down"])
@pytest.mark.parametrize(
    ("knobs", "values"),
    [
        ({"size": 20 * MIB}, {"size": "20MiB"}),
        ({"size": 3 * MIB}, {"size": "3MiB"}),
        ({"size": 25 * MIB, "concurrency": 1}, {"size": "25MiB", "concurrency": 1}),
        ({"size": 20 * MIB, "chunk_size": 5 * MIB}, {"size": "20MiB", "chunk_size": "5MiB"}),
        (
            {"size": 6 * MIB, "files": 30, "layout": "nested", "chunk_size": 5 * MIB},
            {"size": "6MiB", "files": 30, "layout": "nested", "chunk_size": "5MiB"},
        ),
    ],
)
def test_requests_are_those_of_the_plan(
    kind: str, knobs: dict[str, KnobValue], values: dict[str, str | int | bool]
) -> None:
    told = {
        "target": "s3",
        "tool": "rclone",
        "files": 1,
        "layout": "flat",
        "chunk_size": "10MiB",
        "concurrency": 4,
        "transfers": 4,
        "http2": False,
        "checksum": True,
        **values,
    }
    assert requests_of(kind, told) == requests(make_operation(kind, **knobs))
    files = told["files"]
    assert isinstance(files, int)
    assert payload_bytes(told) == int(knobs["size"]) * files


@pytest.mark.parametrize("name", ["size", "files", "chunk_size", "concurrency", "transfers"])
def test_with_one_thing_unknown_nothing_is_known_for_each_gb(name: str) -> None:
    told: dict[str, str | int | bool] = {
        **{"size": "1MiB", "files": 1, "chunk_size": "5MiB", "concurrency": 1, "transfers": 1},
        name: "unknown",
    }
    assert payload_bytes(told) == 0


def test_what_is_not_known_costs_nothing_that_is_known() -> None:
    names = (
        *("size", "files", "chunk_size", "concurrency", "transfers"),
        "layout",
        "target",
        "tool",
    )
    told = dict.fromkeys(names, "unknown")
    assert requests_of("upload", told) == Requests()
    assert requests_of("load", {**told, "chunk_size": "10MiB"}) == Requests()
    assert requests_of("teleport", {**told, "chunk_size": "10MiB"}) == Requests()
    assert payload_bytes(told) == 0
