"""Oddities in the value of an environment variable, which nobody can have meant.

Files of variables, secrets mounted as files and pasted values bring line ends, blanks, quotes and
characters that can't be seen. No message here holds any part of the value.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from hps.errors import HpsError

_QUOTES = {"'": "'", '"': '"', "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c"}
_LINE_END = "such as by printf %s instead of echo, or $(cat FILE)"
_FROM_WINDOWS = "the file that it comes from has line ends of Windows: save it with those of Unix"
_UNSEEN = "it was probably pasted: type that part anew"
# Cc: control characters, Cf: what joins or directs others, Cs: bytes that are no text, Z: blanks.
_UNSEEN_KINDS = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class Oddity(NamedTuple):
    """`what` completes the sentence "the environment variable NAME …"."""

    what: str
    hint: str


def oddity(value: str, *, is_key: bool = False) -> Oddity | None:
    """What is odd about a value; None for an ordinary one, and for an empty one.

    `is_key`: the value is a secret of storage, which has plain ASCII alone.
    """
    found = list(_oddities(value, is_key)) if value else []
    if not found:
        return None
    what = " and ".join(dict.fromkeys(odd.what for odd in found))
    return Oddity(what, f"set it again without that; {found[0].hint}")


def checked(name: str, value: str, *, is_key: bool = False, needed_by: str = "") -> str:
    """The value, unless it is odd. Raises `HpsError` with the variable's name and its oddity."""
    odd = oddity(value, is_key=is_key)
    if odd is not None:
        needs = f": {needed_by} needs it" if needed_by else ""
        raise HpsError(f"the environment variable {name} {odd.what}{needs}", odd.hint)
    return value


def _oddities(value: str, is_key: bool) -> Iterator[Oddity]:
    inner = value.strip()
    if not inner:
        yield Oddity("holds nothing but blanks", "or unset it")
        return
    yield from _around(value, inner)
    if len(inner) > 1 and _QUOTES.get(inner[0]) == inner[-1]:
        yield Oddity("stands in quotes", "quotes in a file of variables are part of the value")
    unseen = None if inner.isprintable() else next(filter(_is_unseen, inner), None)
    if unseen is not None:
        yield Oddity(f"holds {_kind(unseen)}, {_code(unseen)}", _UNSEEN)
    foreign = _NOT_ASCII.search(inner) if is_key and unseen is None else None
    if foreign is not None:
        yield Oddity(f"holds {_code(foreign[0])}, and keys are plain ASCII", _UNSEEN)


def _around(value: str, inner: str) -> Iterator[Oddity]:
    end = value[len(value.rstrip()) :]
    if "\r" in end:
        both = " and a line break" if "\n" in end else ""
        yield Oddity(f"ends in a carriage return{both}", _FROM_WINDOWS)
    elif "\n" in end:
        yield Oddity("ends in a line break", _LINE_END)
    elif end:
        foreign = next((f", {_code(char)}" for char in end if char not in " \t"), "")
        yield Oddity(f"ends in a blank{foreign}", "look at the end of its line")
    if value[0].isspace():
        what = "line break" if value[0] in "\r\n" else "blank"
        yield Oddity(f"begins with a {what}", "look at the beginning of its line")


def _is_unseen(char: str) -> bool:
    return char != " " and unicodedata.category(char) in _UNSEEN_KINDS


def _kind(char: str) -> str:
    if char == "\ufeff":
        return "a byte order mark"
    kind = unicodedata.category(char)
    if kind == "Cs":
        return "bytes that are no text"
    return "a control character" if kind == "Cc" else "a character that can't be seen"


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"
