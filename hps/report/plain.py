"""Values of a database as JSON has them. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal


def plain(value: object) -> object:
    """Text, numbers, lists and mappings; times as in stored results, durations in seconds."""
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
    """What a text of JSON holds; anything else as it is."""
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
