"""What a plain scalar means: the core schema of YAML 1.2, and where YAML 1.1 reads it otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Longer numbers stay text: no key takes one, and turning them into numbers is slow.
_MAX_DIGITS = 40
_TEXT = "text"


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
    old, now = _both(text)
    return f"YAML 1.1 reads {text} as {old}, YAML 1.2 (used here) as {now}" if old != now else ""


def numbers_read(text: str) -> tuple[str, ...]:
    """The numbers that a number is to YAML 1.2 and 1.1, where they differ; else nothing."""
    old, now = _both(text)
    if old == now or isinstance(resolve(text), str | bool | None):
        return ()
    return (now,) if old == _TEXT else (now, old)


def _both(text: str) -> tuple[str, str]:
    """What YAML 1.1 and 1.2 make of a plain scalar; the same twice where they agree."""
    old = _old_value(text) if len(text) <= _MAX_DIGITS else ""
    new = resolve(text)
    if isinstance(new, float) and new.is_integer():
        new = int(new)
    now = _TEXT if isinstance(new, str) else f"{new}"
    return old or now, now


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


def _base_60(text: str) -> str:
    total = Decimal(0)
    for part in text.lstrip("+-").replace("_", "").split(":"):
        total = total * 60 + Decimal(part)
    return f"{-total if text.startswith('-') else total}"


def _int(base: int) -> Callable[[str], str]:
    return lambda text: str(int(text.replace("_", ""), base))


# The forms that YAML 1.1 reads in another way, and what it makes of them. The first one counts.
_OLD_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (re.compile("y|yes|on", re.IGNORECASE), lambda _: "true"),
    (re.compile("n|no|off", re.IGNORECASE), lambda _: "false"),
    (re.compile("[-+]?0[0-7_]+"), _int(8)),
    (re.compile("[-+]?0[0-9]*[89][0-9]*"), lambda _: _TEXT),
    (re.compile("0o[0-7]+"), lambda _: _TEXT),
    (re.compile("[-+]?0b_*[01][01_]*"), _int(2)),
    (re.compile("[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*"), _int(16)),
    (re.compile("[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\\.[0-9_]*)?"), _base_60),
    (
        re.compile("(?=.*_)[-+]?[0-9][0-9_]*(?:\\.[0-9_]*)?"),
        lambda text: text.replace("_", ""),
    ),
    (re.compile("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"), lambda _: "a date"),
    (re.compile("[-+]?[0-9]+[eE][-+]?[0-9]+"), lambda _: _TEXT),
    (re.compile("[-+]?(?:[0-9]+\\.[0-9]*|\\.[0-9]+)[eE][0-9]+"), lambda _: _TEXT),
)
