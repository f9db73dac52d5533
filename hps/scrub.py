"""Keep secrets out of everything that is written: each value is replaced by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from hps import spelling
from hps.secrecy import secrets_in

_SHORTEST = 4  # shorter values would turn ordinary text into noise, and are no secrets
_SHORTEST_LINE = 8
# Development servers have keys such as `test` and `minioadmin`.
_WORD = re.compile(r"[a-z]{1,16}")
# So much of a secret's beginning or end gives it away where a text was cut off in the middle.
_SHORTEST_PIECE = 8
_CUTS = "…"
# What the encodings that leave letters as they are can't do without.
_MARKS = "%\\&+'\""


class Scrubber:
    """Replaces secrets by their names in text and in JSON-like data, however they are encoded.

    It knows the `secrets` it is given, by name, and those in this process' environment: values of
    variables that are called like secrets, and passwords in addresses, see `hps.secrecy`.

    A lower-case word that stands in `public`, the text of an experiment, is left: everybody can
    read it there, and names would be garbled without it. `words` are the names of such secrets.
    """

    def __init__(self, secrets: Mapping[str, str], *, public: str = "") -> None:
        given = list(_known(secrets))
        words = {item for item in given if _is_word_of(public, item[1])}
        self.words = tuple(sorted(name for name, _ in words))
        # Longest first: a secret that contains another must not leave its tail behind.
        known = sorted((item for item in given if item not in words), key=lambda it: -len(it[1]))
        self._values: dict[str, str] = {}
        for name, value in known:
            self._values.setdefault(value, f"[{name}]")
        fixed = {
            encoded: label
            for value, label in self._values.items()
            for encoded in spelling.fixed(value)
        }
        self._fixed = sorted(fixed.items(), key=lambda item: -len(item[0]))
        self._pieces = [
            (spelled, spelled[:_SHORTEST_PIECE], spelled[-_SHORTEST_PIECE:], label)
            for spelled, label in self._fixed
        ]
        self._runs = [(spelling.needed_run(value), value) for value in self._values]

    def text(self, text: str) -> str:
        """The text without any secret."""
        for spelled, label in self._fixed:
            if spelled in text:
                text = text.replace(spelled, label)
        if not text.isascii() or any(mark in text for mark in _MARKS):
            text = self._without_encoded(text)
        return self._without_pieces(text)

    def fields(self, record: Mapping[str, object]) -> dict[str, object]:
        """The same of a record."""
        return {self._writable(str(key)): self.data(item) for key, item in record.items()}

    def data(self, value: object) -> object:
        """The same of every text within lists and mappings, keys too.

        Whatever is no JSON, an exception say, becomes its text; bytes that are no text, escapes.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self.fields(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.data(item) for item in value]
        return self._writable(str(value))

    def _writable(self, text: str) -> str:
        clean = self.text(text)
        return clean if clean.isascii() else clean.encode(errors="backslashreplace").decode()

    def _without_encoded(self, text: str) -> str:
        for run, value in self._runs:
            if run in text:
                label = self._values[value].replace("\\", r"\\")
                text = spelling.loose(value).sub(label, text)
        return text

    def _without_pieces(self, text: str) -> str:
        """Without what is left of a secret where somebody cut a text before it came here."""
        for spelled, begin, end, label in self._pieces:
            if begin in text:
                text = _without_begin(text, spelled, label)
            if end in text:
                text = _without_end(text, spelled, label)
        return text


def _known(secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in (*secrets.items(), *secrets_in(os.environ)):
        if len(value) >= _SHORTEST:
            yield name, value
        # Of a text of several lines often one is shown.
        for line in value.splitlines():
            if len(line) >= _SHORTEST_LINE:
                yield name, line


def _is_word_of(text: str, value: str) -> bool:
    return _WORD.fullmatch(value) is not None and value in text


def _without_begin(text: str, value: str, label: str) -> str:
    """`…secr` at the end, or before an ellipsis, is taken away."""
    begin = text.find(value[:_SHORTEST_PIECE])
    while begin >= 0:
        end = begin
        while end < len(text) and end - begin < len(value) and text[end] == value[end - begin]:
            end += 1
        after = begin + 1
        if end == len(text) or text.startswith(_CUTS, end):
            text = text[:begin] + label + text[end:]
            after = begin + len(label)  # the name may begin as the secret does
        begin = text.find(value[:_SHORTEST_PIECE], after)
    return text


def _without_end(text: str, value: str, label: str) -> str:
    """`cret…` at the beginning, or after an ellipsis, is taken away."""
    mirrored = _without_begin(text[::-1], value[::-1], label[::-1])
    return mirrored[::-1]
