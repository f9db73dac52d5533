"""Foreign text in a message: short, on one line, and without anything a terminal would obey."""

from __future__ import annotations

import re

_MAX_LENGTH = 60
_USER_INFO = re.compile(r"(://)[^/\s]*@")


def quoted(text: str) -> str:
    """`'text'`, cut to a readable length, with what cannot be printed as escapes."""
    return f"'{shown(text)}'"


def shown(text: str) -> str:
    """The same without quotes. A user name or password in an address is left out."""
    safe = _USER_INFO.sub(r"\1***@", text)
    cut = safe if len(safe) <= _MAX_LENGTH else f"{safe[: _MAX_LENGTH - 1]}…"
    return visible(cut)


def visible(text: str) -> str:
    """The whole text, with what cannot be printed as escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def visible_lines(text: str) -> str:
    """The same, but for the ends of lines."""
    return "\n".join(map(visible, text.split("\n")))


def _visible(one: str) -> str:
    return one if one.isprintable() else _escape(one)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
