"""The values that tell cells apart, as people read them and in the order they expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hps.analyze import names
from hps.analyze.comparison import Key
from hps.report import numbers

Value = str | int | bool


def short(key: Key) -> str:
    """`10MiB · 16`."""
    return " · ".join(numbers.value_text(value) for value in key.values()) or "all"


def phrase(key: Key) -> str:
    """`chunk size 10MiB, concurrency 16`."""
    said = (f"{names.word(name)} {numbers.value_text(value)}" for name, value in key.items())
    return ", ".join(said) or "all"


def ordered(name: str, values: Iterable[Value]) -> list[Value]:
    """Without repeats, from small to large."""
    return sorted(dict.fromkeys(values), key=lambda value: names.sort_key(name, value))


def rank(key: Key) -> list[tuple[float, str]]:
    """What keys with the same names are sorted by."""
    return [names.sort_key(name, value) for name, value in key.items()]


def varying(by: Sequence[str], keys: Sequence[Key]) -> list[str]:
    """The names of which there is more than one value."""
    return [name for name in by if len({numbers.value_text(key.get(name)) for key in keys}) > 1]


def without(key: Key, *left_out: str) -> Key:
    """The key less these names."""
    return {name: value for name, value in key.items() if name not in left_out}
