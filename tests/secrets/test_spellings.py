"""Every spelling of a secret is replaced, whoever encoded it, and ordinary text is left alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.redaction import Scrubber, secrets_in
from tests.secrets.planted import plant, spellings

_SECRET = "wJ/+k7=X%2F&n\"F'E\\M$I 9é😀"
_ALPHABET = "abcXYZ019/+=%&\"'\\$ ~-_.é😀<>#\t\n"
_SECRETS = st.text(_ALPHABET, min_size=12, max_size=60)


@pytest.mark.parametrize("spelled", sorted(spellings(_SECRET)))
def test_it_is_replaced(spelled: str) -> None:
    scrubbed = Scrubber({"NAME": _SECRET}).text(f"before {spelled} after")
    assert spelled not in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    assert "[NAME]" in scrubbed


@settings(deadline=None)
@given(_SECRETS)
def test_any_secret_in_any_spelling(secret: str) -> None:
    scrubber = Scrubber({"[]": secret})
    for spelled in spellings(secret):
        assert spelled not in scrubber.text(f"[{spelled}]")


@pytest.mark.parametrize("quote", ['printf %q "$X"', 'set -x; : "$X"', "declare -p X"])
def test_what_a_shell_makes_of_it(quote: str) -> None:
    done = subprocess.run(
        ["bash", "-c", quote],
        env={"X": _SECRET, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    scrubbed = Scrubber({"NAME": _SECRET}).text(done.stdout + done.stderr)
    assert "[NAME]" in scrubbed
    assert "k7" not in scrubbed


@pytest.mark.parametrize(
    "cut",
    [f"failed: {_SECRET[:9]}", f"'{_SECRET[:12]}…'; hint", f"{_SECRET[6:]} at", f"…{_SECRET[-8:]}"],
)
def test_what_is_left_where_it_was_cut(cut: str) -> None:
    assert "[NAME]" in Scrubber({"NAME": _SECRET}).text(cut)


@pytest.mark.parametrize(
    ("secret", "cut", "clean"),
    [
        ("MY_SECRET]and-more", "it was MY_SECRET]and", "it was [MY_SECRET]"),
        ("much-more[MY_SECRET", "more[MY_SECRET it was", "[MY_SECRET] it was"),
    ],
)
def test_one_that_looks_like_what_stands_in_its_place(secret: str, cut: str, clean: str) -> None:
    assert Scrubber({"MY_SECRET": secret}).text(cut) == clean


def test_each_line_of_one_that_has_several() -> None:
    key = "-----BEGIN-----\nMIIEvQIBADANBgkqhkiG\n-----END-----"
    scrubbed = Scrubber({"PEM": key}).text("line 2: MIIEvQIBADANBgkqhkiG")
    assert scrubbed == "line 2: [PEM]"


def test_ordinary_text_is_left_alone() -> None:
    text = Path(__file__).read_text() * 3
    assert Scrubber(dict(plant().env)).text(text) == text


def test_keys_and_odd_things_within_data() -> None:
    scrubber = Scrubber({"NAME": _SECRET})
    data = {_SECRET: {1, 2}, "error": ValueError(_SECRET), "path": Path("/x"), "odd": "é\udcff"}
    assert scrubber.data(data) == {
        "[NAME]": [1, 2],
        "error": "[NAME]",
        "path": "/x",
        "odd": "é\\udcff",
    }


def test_what_the_environment_gives_away() -> None:
    env = {
        "MY_TOKEN": "a-long-enough-token",
        "SHORT_KEY": "true",
        "HPS_VAR_KEY": "to-be-filled-in",
        "HTTPS_PROXY": "http://me:p%40ssword@proxy:1",
        "DATABASE_URL": "postgres://you:x@db/y",
        "PATH": "/usr/bin",
    }
    found = set(secrets_in(env))
    assert found == {
        ("MY_TOKEN", "a-long-enough-token"),
        *(
            ("HTTPS_PROXY", text)
            for text in ("me:p%40ssword", "me:p@ssword", "p%40ssword", "p@ssword")
        ),
        ("DATABASE_URL", "you:x"),
    }


def test_a_scrubber_knows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_0123456789")
    assert Scrubber({}).text("token ghp_0123456789") == "token [GITHUB_TOKEN]"
