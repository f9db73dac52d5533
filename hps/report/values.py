"""Numbers and cells as texts for people; what is None is an empty text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from hps.compare import names
from hps.compare.comparison import Interval, Key
from hps.compare.words import setting, value_text

_LEAST_P = 0.001


def number_text(value: float | None) -> str:
    """`238.71` -> `239`, `4.5678` -> `4.57`, None -> empty."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def interval_text(interval: Interval | None) -> str:
    """`[120, 140]`; empty where there is none."""
    if interval is None:
        return ""
    return f"[{number_text(interval.low)}, {number_text(interval.high)}]"


def percent_text(share: float | None) -> str:
    """`0.051` -> `5.1 %`; a share that is not 0 never reads as 0."""
    if share is None:
        return ""
    percent = share * 100
    return f"{percent:.0f} %" if abs(percent) >= 99.95 else f"{percent:.2g} %"


def dollars_text(dollars: float | None) -> str:
    """`0.0375` -> `$0.038`, `12.3` -> `$12.30`; what is not nothing never reads as nothing."""
    if dollars is None:
        return ""
    if dollars == 0:
        return "$0"
    if dollars < 0.0001:
        return "less than $0.0001"
    return f"${dollars:.2g}" if dollars < 1 else f"${dollars:,.2f}"


def p_text(p: float | None) -> str:
    """`0.0123` -> `0.012`, `1e-9` -> `<0.001`."""
    if p is None:
        return ""
    return f"<{_LEAST_P}" if p < _LEAST_P else f"{p:.2g}"


def count_text(count: float | None) -> str:
    """`12345.6` -> `12,346`, `7.25` -> `7.25`."""
    if count is None:
        return ""
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"


def capital(text: str) -> str:
    """The text with a capital: `download` -> `Download`."""
    return text[:1].upper() + text[1:]


# -------------------------------------------------------------------------------------------------
# The values that tell cells apart, as people read them and in the order they expect.

Value = str | int | bool


def short(key: Key) -> str:
    """A cell by its values alone: `10MiB · 16`."""
    return " · ".join(value_text(value) for value in key.values()) or "all"


def phrase(key: Key) -> str:
    """A cell by names and values: `chunk size 10MiB, concurrency 16`."""
    return ", ".join(setting(name, value) for name, value in key.items()) or "all"


def ordered(name: str, values: Iterable[Value]) -> list[Value]:
    """The values, each once, from small to large."""
    return sorted(dict.fromkeys(values), key=lambda value: names.sort_key(name, value))


def rank(key: Key) -> list[tuple[float, str]]:
    """What to sort keys by that have the same names."""
    return [names.sort_key(name, value) for name, value in key.items()]


def varying(by: Sequence[str], keys: Sequence[Key]) -> list[str]:
    """Those names of `by` that have more than one value in these keys."""
    return [name for name in by if len({value_text(key.get(name)) for key in keys}) > 1]


def without(key: Key, *left_out: str) -> Key:
    """The key without these names."""
    return {name: value for name, value in key.items() if name not in left_out}


# -------------------------------------------------------------------------------------------------
# Values of a database as JSON has them. Pure.


def plain(value: object) -> object:
    """A value of a database as JSON can hold it.

    Times are ISO 8601 as in stored results, durations seconds, bytes hexadecimal; NaN and infinity
    are None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal | timedelta):
        return _number(value)
    return _text(value)


def from_json(text: object) -> object:
    """What a text of JSON holds; a value that is no such text stays as it is."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _number(value: float | Decimal | timedelta) -> float | None:
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    if isinstance(value, date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
