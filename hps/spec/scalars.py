"""What a plain scalar means: the core schema of YAML 1.2, and where YAML 1.1 reads it otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Longer numbers stay text: no key takes one, and turning them into numbers is slow.
_MAX_DIGITS = 40


def resolve(text: str) -> Scalar:
    """A plain scalar's value by YAML 1.2's core schema. Infinities and not-a-number stay text."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(text)


def is_too_large(text: str) -> bool:
    """True for a number that is kept as text, since it is beyond what a number can be here."""
    return isinstance(resolve(text), str) and _FLOAT.fullmatch(text) is not None


def old_reading(text: str) -> str:
    """A sentence on how YAML 1.1 reads a plain scalar, where that differs; else nothing."""
    if len(text) > _MAX_DIGITS:
        return ""
    old = _old_value(text)
    if not old:
        return ""
    new = resolve(text)
    now = "text" if isinstance(new, str) else f"{new}"
    if old == now:
        return ""
    return f"YAML 1.1 reads {text} as {old}, YAML 1.2 (used here) as {now}"


def _number(text: str) -> Scalar:
    if len(text) > _MAX_DIGITS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return text if number in (float("inf"), float("-inf")) else number
    return text


def _old_value(text: str) -> str:
    return next((read(text) for form, read in _OLD_FORMS if form.fullmatch(text)), "")


def _base_60(text: str) -> int:
    total = 0
    for part in text.lstrip("+-").split(":"):
        total = total * 60 + int(part)
    return -total if text.startswith("-") else total


# The forms that YAML 1.1 reads in another way, and what it makes of them.
_OLD_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (re.compile("y|yes|on", re.IGNORECASE), lambda _: "true"),
    (re.compile("n|no|off", re.IGNORECASE), lambda _: "false"),
    (re.compile("[-+]?0[0-7]+"), lambda text: str(int(text, 8))),
    (re.compile("[-+]?0b[01]+"), lambda text: str(int(text, 2))),
    (re.compile("[-+]?[1-9][0-9]*(?::[0-5]?[0-9])+"), lambda text: str(_base_60(text))),
    (re.compile("[-+]?[0-9][0-9_]*_[0-9_]*"), lambda text: text.replace("_", "")),
    (re.compile("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"), lambda _: "a date"),
    (re.compile("[-+]?[0-9]+[eE][-+]?[0-9]+"), lambda _: "text"),
)
