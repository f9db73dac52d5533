"""A comparison for programs is what `schemas/comparison.schema.json` says, to the last field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from hps.compare.comparison import Findings, Interval, NeverBegan
from hps.compare.gates import judge_all
from hps.report import as_json
from hps.spec.gates import parse
from tests.command import REPOSITORY
from tests.report.builders import (
    FAST,
    cell,
    change,
    comparison,
    far,
    findings,
)

SCHEMA: dict[str, Any] = json.loads((REPOSITORY / "schemas/comparison.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
GATES = [parse("throughput>=1Mbps"), parse("regression<=5%"), parse("upload.failures<=1%")]


def _found() -> Findings:
    return findings(
        comparison(),
        far(),
        changes=(change(), change(None)),
        thresholds={"sweep": ("failures<=1%", "latency<=1")},
        tenths=findings().hours,
        never_began=(
            NeverBegan(code="quota", owner="experiment", runs=3, nodes=2, text="it is full"),
        ),
    )


def _data() -> Any:
    found = _found()
    return json.loads(as_json.render(found, judge_all(GATES, found)))


def _properties(schema: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        for item in schema:
            yield from _properties(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"].items()
        for value in schema.values():
            yield from _properties(value)


def _unknown(data: object, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Keys of the data that the schema does not name."""
    while "$ref" in schema or "anyOf" in schema:
        name = schema.get("$ref") or schema["anyOf"][0]["$ref"]
        schema = SCHEMA["$defs"][name.rsplit("/", 1)[-1]]
    if isinstance(data, list):
        for item in data:
            yield from _unknown(item, schema["items"], path)
    elif isinstance(data, dict) and "properties" in schema:
        yield from (f"{path}/{key}" for key in data if key not in schema["properties"])
        for key, value in data.items():
            yield from _unknown(value, schema["properties"].get(key, {}), f"{path}/{key}")


def test_the_schema_is_one_and_describes_every_field() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert [name for name, rules in _properties(SCHEMA) if not rules.get("description")] == []


def test_a_comparison_meets_the_schema() -> None:
    assert [error.message for error in VALIDATOR.iter_errors(_data())] == []


def test_nothing_found_meets_it_too() -> None:
    data = json.loads(as_json.render(findings()))
    assert list(VALIDATOR.iter_errors(data)) == []
    assert data["comparisons"] == []


def test_every_field_is_in_the_schema() -> None:
    assert list(_unknown(_data(), SCHEMA, "")) == []


def test_the_format_is_named_first() -> None:
    assert list(_data())[:2] == ["format", "gates"]
    assert _data()["format"] == 1


@pytest.mark.parametrize("name", sorted(SCHEMA["required"]))
def test_what_lacks_a_field_is_rejected(name: str) -> None:
    data = _data()
    del data[name]
    assert list(VALIDATOR.iter_errors(data))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2),
        (("gates", 0, "outcome"), "passed"),
        (("gates", 0, "where", 0, "value"), "100 Mbps"),
        (("comparisons", 0, "cells", 0, "median_mbps"), "100"),
        (("comparisons", 0, "cells", 0, "statuses"), {"ok": -1}),
        (("comparisons", 0, "pairs", 0, "test"), "t-test"),
        (("comparisons", 0, "decision", "kind"), "best"),
        (("provenance", "runs"), None),
        (("rejected", 0, "accepted"), "no"),
        (("never_began", 0, "runs"), 0),
        (("comparisons", 0, "cells", 2, "reasons", 0, "code"), ""),
    ],
)
def test_a_wrong_value_is_rejected(path: tuple[str | int, ...], value: object) -> None:
    data = _data()
    at = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert list(VALIDATOR.iter_errors(data))


def test_numbers_are_whole_and_keep_their_meaning() -> None:
    first = _data()["comparisons"][0]
    assert first["cells"][1]["key"] == {"chunk_size": "10MiB", "concurrency": 8}
    assert first["cells"][1]["median_mbps"] == 200.0
    assert first["decision"]["cell"] == {"chunk_size": "10MiB", "concurrency": 8}
    assert first["cells"][3]["same_as"] == {"chunk_size": "10MiB", "concurrency": 1}
    assert _data()["changes"][1]["ratio"] is None


def test_what_is_no_number_becomes_null() -> None:
    odd = cell(FAST, 200.0, p10_mbps=math.nan, interval=Interval(low=-math.inf, high=math.inf))
    numpy_cell = replace(odd, median_mbps=np.float64(3.5), p90_mbps=np.float64("nan"))
    text = as_json.render(findings(comparison(cells=(numpy_cell,))))
    (read,) = json.loads(text)["comparisons"][0]["cells"]
    assert (read["p10_mbps"], read["p90_mbps"], read["median_mbps"]) == (None, None, 3.5)
    assert (read["interval"]["low"], read["interval"]["high"]) == (None, None)
    assert "NaN" not in text
    assert "Infinity" not in text
