"""Keep secrets out of everything that is written: each value is replaced by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

_SHORTEST = 4  # shorter values would turn ordinary text into noise, and are no secrets


class Scrubber:
    """Replaces secret values, as they are and URL-encoded, in text and in JSON-like data."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        spelled = {
            spelling: f"[{name}]"
            for name, value in secrets.items()
            if len(value) >= _SHORTEST
            for spelling in _spellings(value)
        }
        # Longest first: a secret that contains another must not leave its tail behind.
        self._spelled = sorted(spelled.items(), key=lambda item: -len(item[0]))

    def text(self, text: str) -> str:
        """The text without any secret."""
        for spelling, name in self._spelled:
            text = text.replace(spelling, name)
        return text

    def data(self, value: object) -> object:
        """The same of every text within lists and mappings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value


def _spellings(value: str) -> tuple[str, ...]:
    # A value from the environment may hold bytes that are no text: lone surrogates.
    return (
        value,
        quote(value, safe="", errors="surrogatepass"),
        quote_plus(value, errors="surrogatepass"),
        json.dumps(value)[1:-1],
    )


def looks_secret(name: str) -> bool:
    """True for the names of environment variables that usually hold secrets."""
    words = ("KEY", "SECRET", "TOKEN", "PASS", "PW", "CREDENTIAL", "AUTH", "SESSION", "_ID")
    return any(word in name.upper() for word in words)
