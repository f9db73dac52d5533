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
    return "".join(one if one.isprintable() else _escape(one) for one in cut)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
