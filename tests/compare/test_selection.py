"""What is asked: names, values and units, and the words where they are wrong."""

from __future__ import annotations

import pytest

from hps.compare import grouping, names
from hps.compare.comparison import Rule
from hps.compare.names import BY, STRATA, WHERE, key_value, sort_key
from hps.compare.selection import (
    CellBaseline,
    PathBaseline,
    Question,
    RowsBaseline,
    condition,
    read,
)
from hps.errors import EXIT_USAGE, HpsError
from hps.model import KNOBS


def test_every_knob_can_be_compared_and_every_name_has_its_sql() -> None:
    assert set(KNOBS) <= set(BY) <= set(WHERE)
    assert set(STRATA) <= set(BY)
    assert all(grouping.sql(name) for name in WHERE)


@pytest.mark.parametrize(
    ("text", "name", "op", "values"),
    [
        ("rtt<50ms", "rtt", "<", (0.05,)),
        ("rtt = below 50 ms", "rtt", "=", ("below 50 ms",)),
        ("bandwidth>=1Gbps", "bandwidth", ">=", (1000.0,)),
        ("size=200MiB", "size", "=", (200 * 1024**2,)),
        ("chunk_size=5MiB,10MiB", "chunk_size", "=", (5 * 1024**2, 10 * 1024**2)),
        ("concurrency!=1, 4", "concurrency", "!=", (1, 4)),
        ("step==download", "step", "=", ("download",)),
        ("http2=true", "http2", "=", (True,)),
        ("date>=2026-09-01", "date", ">=", ("2026-09-01",)),
        ("reason_code=throttled,quota", "reason_code", "=", ("throttled", "quota")),
        ("reason_owner!=node", "reason_owner", "!=", ("node",)),
        ("disturbed=false", "disturbed", "=", (False,)),
        ("not disturbed", "disturbed", "=", (False,)),
        ("disturbed", "disturbed", "=", (True,)),
        ("commit=ABCDEF", "commit", "=", ("abcdef",)),
        ("gpu=NVIDIA GeForce RTX 4090", "gpu", "=", ("NVIDIA GeForce RTX 4090",)),
    ],
)
def test_a_condition_is_read_in_base_units(
    text: str, name: str, op: str, values: tuple[object, ...]
) -> None:
    found = condition(text)
    assert (found.name, found.op, found.values) == (name, op, values)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("rtt<50", "--where: rtt: '50' has no unit", "write 50s (seconds) or 50ms"),
        ("size=200", "--where: size: '200' has no unit", "200MiB"),
        ("reason_owner=nod", "reason_owner: 'nod' owns no failure", "experiment, node, target"),
        ("chunksize=5MiB", "--where: there is no 'chunksize'", "did you mean chunk_size?"),
        ("nonsense", "--where: 'nonsense' is no condition", "NAME=VALUE"),
        ("concurrency=", "--where: 'concurrency=' lacks a value", "concurrency=VALUE"),
        ("concurrency=1,,2", "lacks a value", ""),
        ("concurrency=four", "'four' is not a whole number", ""),
        ("concurrency<1,4", "--where: concurrency< takes one value", "concurrency="),
        ("country>de", "--where: country has no order", "country=VALUE"),
        ("http2=yes", "neither true nor false", ""),
        ("date=1.9.2026", "is not a date", "2026-09-01"),
        ("rtt<below 50 ms", "takes a number, not a class", "rtt<50ms"),
        ("rtt=50ms,unknown", "either numbers or classes", ""),
    ],
)
def test_a_wrong_condition_says_what_is_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(HpsError) as caught:
        condition(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == EXIT_USAGE


def test_names_that_are_not_known_name_the_flag() -> None:
    with pytest.raises(HpsError, match="--by: there is no 'chunk-size'") as caught:
        read(Question(by=("chunk-size",)))
    assert "did you mean chunk_size?" in caught.value.hint
    with pytest.raises(HpsError, match="--strata: there is no 'concurrency'"):
        read(Question(strata=("concurrency",)))
    with pytest.raises(HpsError, match="--by: names nothing"):
        read(Question(by=()))


def test_a_name_twice_counts_once() -> None:
    assert read(Question(by=("concurrency", " concurrency"))).by == ("concurrency",)


@pytest.mark.parametrize(
    "rule", [Rule(alpha=0.0), Rule(alpha=1.0), Rule(power=1.0), Rule(min_effect=0.0)]
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Rule) -> None:
    with pytest.raises(HpsError, match=r"^--"):
        read(Question(rule=rule))


def test_a_baseline_is_a_cell_rows_or_a_path() -> None:
    by = ("chunk_size", "concurrency")
    cell = read(Question(by=by, baseline="chunk_size=5120KiB,concurrency=4")).baseline
    assert cell == CellBaseline(key={"chunk_size": "5MiB", "concurrency": 4})
    assert read(Question(by=("rtt",), baseline="rtt=below 50 ms")).baseline == CellBaseline(
        key={"rtt": "below 50 ms"}
    )
    rows = read(Question(by=by, baseline="date=2026-09-01,tool_version=1.75.2")).baseline
    assert isinstance(rows, RowsBaseline)
    assert [(one.name, one.values) for one in rows.conditions] == [
        ("date", ("2026-09-01",)),
        ("tool_version", ("1.75.2",)),
    ]
    assert read(Question(by=by, baseline="old/results")).baseline == PathBaseline(
        path="old/results"
    )


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("size=5MiB", "--baseline: there is no 'size'"),
        ("concurrency=4,date=2026-09-01", "concurrency is in --by, date is not"),
        ("concurrency=", "lacks a value"),
        ("concurrency=4,concurrency=8", "twice"),
        ("concurrency=x", "--baseline: concurrency: 'x' is not a whole number"),
        (" ", "names nothing"),
    ],
)
def test_a_wrong_baseline_says_what_is_wrong(baseline: str, message: str) -> None:
    with pytest.raises(HpsError) as caught:
        read(Question(baseline=baseline))
    assert message in caught.value.message


def test_a_class_is_compared_by_its_label() -> None:
    assert key_value("--baseline", "bandwidth", "unknown") == "unknown"
    with pytest.raises(HpsError, match="compared by class"):
        key_value("--baseline", "rtt", "50ms")


def test_values_are_put_in_order_by_what_they_mean() -> None:
    def ordered(name: str, *values: str | int | bool) -> list[str | int | bool]:
        return sorted(values, key=lambda value: sort_key(name, value))

    assert ordered("chunk_size", "64MiB", "5MiB", "10MB") == ["5MiB", "10MB", "64MiB"]
    assert ordered("concurrency", 16, 4, 1) == [1, 4, 16]
    assert ordered("country", "us", "unknown", "de") == ["de", "us", "unknown"]
    labels = names.CLASSES["rtt"].all_labels
    assert ordered("rtt", *reversed(labels)) == list(labels)
