"""What is odd about a value of the environment, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import HpsError
from hps.spec.odd_values import checked, oddity

_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY=="


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("{}\n", "ends in a line break"),
        ("{}\n\n", "ends in a line break"),
        ("{}\r", "ends in a carriage return"),
        ("{}\r\n", "ends in a carriage return and a line break"),
        ("{} ", "ends in a blank"),
        ("{}\t", "ends in a blank"),
        ("{}\u00a0", "ends in a blank, U+00A0"),
        (" {}", "begins with a blank"),
        ("\n{}", "begins with a line break"),
        ("'{}'", "stands in quotes"),
        ('"{}"', "stands in quotes"),
        ("\u201c{}\u201d", "stands in quotes"),
        ('"{}"\r', "ends in a carriage return and stands in quotes"),
        ("\ufeff{}", "holds a byte order mark, U+FEFF"),
        ("{}\u200b", "holds a character that can't be seen, U+200B"),
        ("a{}\u00a0{}", "holds a character that can't be seen, U+00A0"),
        ("{}\u2060{}", "holds a character that can't be seen, U+2060"),
        ("{}\n{}", "holds a control character, U+000A"),
        ("{}\x1b{}", "holds a control character, U+001B"),
        ("{}\x00", "holds a control character, U+0000"),
        ("{}\udcff", "holds bytes that are no text, U+DCFF"),
    ],
)
@pytest.mark.parametrize("is_key", [False, True])
def test_what_is_odd_is_said_and_the_value_is_not(form: str, what: str, is_key: bool) -> None:
    odd = oddity(form.format(_SECRET, _SECRET), is_key=is_key)
    assert odd is not None
    assert what in odd.what
    assert _SECRET[:4] not in repr(odd)
    with pytest.raises(HpsError) as caught:
        checked("KEY", form.format(_SECRET, _SECRET), is_key=is_key, needed_by="target 's3'")
    assert caught.value.message.startswith("the environment variable KEY ")
    assert caught.value.exit_code == 2
    assert _SECRET[:4] not in repr(caught.value)


@pytest.mark.parametrize("value", [" ", "\n", "\r\n", "\t \n", "\u00a0", "\u3000"])
def test_blanks_alone(value: str) -> None:
    odd = oddity(value)
    assert odd is not None
    assert odd.what == "holds nothing but blanks"


@pytest.mark.parametrize(
    "value",
    ["", "a", "'", '"', "'a", 'a"', "'a\"", "a b", "<your key>", "changeme", "${KEY}", "a=b;c",
     "a\\n", _SECRET, "caf\u00e9/2026", "it's", "\U0001f642"],
)  # fmt: skip
def test_what_is_ordinary(value: str) -> None:
    assert oddity(value) is None
    assert checked("NAME", value) == value


def test_keys_are_plain_ascii() -> None:
    odd = oddity("abc\u0435def", is_key=True)
    assert odd is not None
    assert odd.what == "holds U+0435, and keys are plain ASCII"


@given(st.text(max_size=20))
def test_any_value_has_an_answer(value: str) -> None:
    odd = oddity(value)
    assert odd is None or (odd.what.isprintable() and odd.hint.isprintable())


@given(st.text("abcXYZ019/+=", min_size=1), st.sampled_from(["\n", "\r", " ", "\u200b", "\ufeff"]))
def test_whatever_a_key_is_its_end_is_seen(key: str, end: str) -> None:
    assert oddity(key, is_key=True) is None
    assert oddity(key + end, is_key=True) is not None
