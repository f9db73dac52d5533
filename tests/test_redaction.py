"""No spelling of a secret is left in what is written."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.redaction import Scrubber, is_called_like_a_secret

AWKWARD = 'p/+ "x"\\ä=&'


@pytest.mark.parametrize(
    "spelled",
    [
        AWKWARD,
        quote(AWKWARD, safe=""),
        quote_plus(AWKWARD),
        json.dumps(AWKWARD)[1:-1],
    ],
)
def test_every_spelling_is_replaced_by_the_name(spelled: str) -> None:
    assert Scrubber({"KEY": AWKWARD}).text(f"a {spelled} b {spelled}") == "a [KEY] b [KEY]"


# Without the letters of the name that replaces it, which could make it up anew.
_SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[KEY]"), min_size=4)


@settings(deadline=None)
@given(_SECRETS, st.text(), st.text())
def test_no_text_holds_the_secret(secret: str, before: str, after: str) -> None:
    scrubbed = Scrubber({"KEY": secret}).text(f"{before}{secret}{after}")
    for spelled in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert spelled not in scrubbed


def test_a_secret_within_another_leaves_no_tail() -> None:
    scrubber = Scrubber({"SHORT": "secret", "LONG": "secret-and-more"})
    assert scrubber.text("secret-and-more, secret") == "[LONG], [SHORT]"
    other_way_round = Scrubber({"LONG": "secret-and-more", "SHORT": "secret"})
    assert other_way_round.text("secret-and-more, secret") == "[LONG], [SHORT]"


def test_texts_anywhere_in_data_are_replaced_and_the_rest_is_left() -> None:
    scrubber = Scrubber({"KEY": "hidden"})
    data = {"a": ["x hidden", {"b": ("hidden", 1)}], "c": 1.5, "d": None, "e": True}
    assert scrubber.data(data) == {
        "a": ["x [KEY]", {"b": ["[KEY]", 1]}],
        "c": 1.5,
        "d": None,
        "e": True,
    }


def test_very_short_values_are_no_secrets() -> None:
    assert Scrubber({"EMPTY": "", "SHORT": "abc"}).text("abc") == "abc"
    assert Scrubber({"JUST": "abcd"}).text("abcd") == "[JUST]"


_PUBLIC = "name: the-latest-run\nsecret: Word hunter2 abcdefghijklmnopq\n"


@pytest.mark.parametrize("value", ["test", "latest"])
def test_a_word_that_everybody_can_read_in_the_experiment_is_left(value: str) -> None:
    scrubber = Scrubber({"KEY": value, "OTHER": "hidden"}, public=_PUBLIC)
    assert scrubber.text(f"the-{value}-run hidden") == f"the-{value}-run [OTHER]"
    assert scrubber.words == ("KEY",)


@pytest.mark.parametrize("value", ["tests", "Word", "hunter2", "abcdefghijklmnopq"])
def test_any_other_secret_is_replaced(value: str) -> None:
    scrubber = Scrubber({"KEY": value}, public=_PUBLIC)
    assert scrubber.text(f"a {value} b") == "a [KEY] b"
    assert scrubber.words == ()


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("CLOUDFLARE_KEY", True),
        ("CLOUDFLARE_ID", True),
        ("my_secret", True),
        ("SESSION_TOKEN", True),
        ("DB_PASSWORD", True),
        ("HOME", False),
        ("EXPERIMENT", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_called_like_a_secret(name) is secret


def test_a_signature_is_replaced_wherever_its_other_fields_stand() -> None:
    token = "sv=2021-08-06&sp=rwdl&sig=c2lnbmF0dXJl%2BLw%3D%3D&se=2030-01-01"
    scrubber = Scrubber({"SAS": token})
    for said in (
        f"Get https://a.example.org/c/k?{token}",
        "Get https://a.example.org/c/k?comp=list&se=2030-01-01&sig=c2lnbmF0dXJl%2BLw%3D%3D&sp=r",
        "the signature c2lnbmF0dXJl+Lw== did not match",
    ):
        assert "c2lnbmF0dXJl" not in scrubber.text(said)
        assert "[SAS]" in scrubber.text(said)
