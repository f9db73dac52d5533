"""Plain scalars by YAML 1.2's core schema, and how YAML 1.1 differs."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hps.spec.yaml_tree import is_too_large, numbers_read, old_reading, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("0", 0),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        (".", "."),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-01-02", "2026-01-02"),
        ("\u0661", "\u0661"),
        ("1 ", "1 "),
    ],
)
def test_resolve(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "OFF", "010", "0b11", "1:30", "-1:30:00", "1_000", "2026-01-02", "1e3",
     "08", "0o10", "0_10", "1_000.5", "-0x10", "0x1_0", "0b_1", "1:30.5", "1.5e3", ".5e3", "-010"],
)  # fmt: skip
def test_what_old_yaml_reads_otherwise_is_said(text: str) -> None:
    told = old_reading(text)
    assert f"YAML 1.1 reads {text} as " in told
    old = yaml.safe_load(text)
    said = told.removeprefix(f"YAML 1.1 reads {text} as ").split(",")[0]
    words = {True: "true", False: "false"}
    if isinstance(old, bool | int | float):
        assert said == (words[old] if isinstance(old, bool) else str(old))
    elif isinstance(old, str):
        assert said == "text"


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "12",
        "1.5",
        "text",
        "08x",
        "",
        "0",
        "10MiB",
        "1e400",
        "1" * 60,
        "007",
        "0x1f",
        ".5",
        "1.5e+3",
    ],
)
def test_what_both_read_alike_is_not_mentioned(text: str) -> None:
    assert old_reading(text) == ""


@given(st.text(alphabet="0123456789789_.:eE+-xob", min_size=1, max_size=9))
def test_no_number_that_old_yaml_reads_otherwise_is_overlooked(text: str) -> None:
    try:
        old = yaml.safe_load(f"[{text}]")[0]
    except (yaml.YAMLError, ValueError, TypeError):
        return
    new = resolve(text)
    # The specification has a sign before a point, which PyYAML does not take.
    signed_point = text[0] in "+-" and text[1:2] == "."
    if isinstance(new, int | float) and isinstance(old, str | int | float) and not signed_point:
        assert bool(numbers_read(text)) == (isinstance(old, str) or old != new)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("010", ("10", "8")), ("1e3", ("1000",)), ("0o10", ("8",)), ("1:30", ()), ("yes", ()),
     ("true", ()), ("", ()), ("12", ()), ("0x10", ()), ("1.5e0", ("1.5",))],
)  # fmt: skip
def test_the_numbers_that_a_number_is(text: str, numbers: tuple[str, ...]) -> None:
    assert numbers_read(text) == numbers


@pytest.mark.parametrize("text", ["1e400", "-1E999", "1" * 41, "0." + "1" * 60])
def test_a_number_beyond_numbers_is_told_apart(text: str) -> None:
    assert is_too_large(text)
    assert isinstance(resolve(text), str)


@pytest.mark.parametrize(
    "text", ["1e300", "1" * 40, "text", "", "1e400MiB", ".inf", "0x" + "f" * 50]
)
def test_other_text_is_no_such_number(text: str) -> None:
    assert not is_too_large(text)


@given(st.text(max_size=60))
def test_any_text_resolves(text: str) -> None:
    assert isinstance(resolve(text), str | int | float | bool | None)
