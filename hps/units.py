"""Sizes, rates and times: parsed from text with a unit, kept as bytes, Mbps and seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from hps.errors import UnitError

_SIZES: Mapping[str, int] = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}
_BITS_PER_SECOND: Mapping[str, int] = {
    "kbps": 1000,
    "Mbps": 1000**2,
    "Gbps": 1000**3,
    **{f"{unit}/s": 8 * factor for unit, factor in _SIZES.items() if unit != "B"},
}
_SECONDS: Mapping[str, Decimal] = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_QUANTITY = re.compile(r"\s*(?P<number>\d{1,18}(?:\.\d{1,9})?)\s*(?P<unit>[A-Za-z/]*)\s*", re.ASCII)

# From these numbers on, a size without a unit is taken for bytes, and a rate for bits a second.
_BYTES_FROM = 64 * 1024
_BITS_FROM = 100_000
_NOTES: Mapping[str, str] = {
    "kbps": "kilobits a second",
    "Mbps": "megabits a second",
    "Gbps": "gigabits a second",
    "MiB/s": "mebibytes a second",
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
}

Number = TypeVar("Number", int, Decimal)

SIZE_UNITS = "KiB, MiB, GiB, TiB, or kB, MB, GB, TB"
RATE_UNITS = "kbps, Mbps, Gbps (bits a second), or MiB/s"
TIME_UNITS = "ms, s, m or h"


def parse_size_bytes(text: str) -> int:
    """`10MiB` -> 10485760. Raises `UnitError` where the unit is missing, ambiguous or unknown."""
    number, unit = _split(text, "size", SIZE_UNITS)
    if unit == "" or unit in {"K", "M", "G", "T", "k"}:
        raise _no_unit(text, size_readings(number, unit), SIZE_UNITS)
    factor = _factor(text, unit, _SIZES, "size", SIZE_UNITS)
    size_bytes = number * factor
    if size_bytes != size_bytes.to_integral_value():
        raise UnitError(f"{_shown(text)} is not a whole number of bytes", "round it")
    return int(size_bytes)


def parse_rate_mbps(text: str) -> float:
    """`20Mbps` -> 20.0, `1MiB/s` -> 8.388608. Raises `UnitError`."""
    number, unit = _split(text, "rate", RATE_UNITS)
    if unit == "":
        raise _no_unit(text, rate_readings(number), RATE_UNITS)
    factor = _factor(text, unit, _BITS_PER_SECOND, "rate", RATE_UNITS)
    return float(number * factor / 1_000_000)


def parse_time_s(text: str) -> float:
    """`300ms` -> 0.3. Raises `UnitError`."""
    number, unit = _split(text, "time", TIME_UNITS)
    if unit == "":
        raise _no_unit(text, time_readings(number), TIME_UNITS)
    return float(number * _factor(text, unit, _SECONDS, "time", TIME_UNITS))


def parse_moment(text: str) -> datetime:
    """`2026-12-01T18:00:00Z`, with its zone, in UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def size_readings(number: Decimal, prefix: str = "") -> tuple[str, ...]:
    """What a size without its unit, or with half of it (`10M`), may mean, the likeliest first."""
    if not prefix and number >= _BYTES_FROM:
        return tuple(dict.fromkeys((format_size(int(number)), f"{int(number)}B")))
    large = prefix.upper() or "M"
    units = (f"{large}iB", "kB" if large == "K" else f"{large}B")
    return tuple(f"{number:f}{unit}" for unit in units if number * _SIZES[unit] % 1 == 0)


def rate_readings(number: Decimal) -> tuple[str, ...]:
    """What a rate without its unit may mean, the likeliest first."""
    if number < _BITS_FROM:
        return f"{number:f}Mbps", f"{number:f}MiB/s"
    bits = int(number)
    whole = (
        f"{bits // _BITS_PER_SECOND[unit]}{unit}"
        for unit in ("Gbps", "Mbps", "kbps")
        if bits % _BITS_PER_SECOND[unit] == 0
    )
    return next(whole, f"{Decimal(bits) / 1000}kbps"), f"{number:f}kbps"


def time_readings(number: Decimal) -> tuple[str, ...]:
    """What a time without its unit may mean, the likeliest first."""
    return f"{number:f}s", f"{number:f}ms"


def spelled(readings: Iterable[str]) -> str:
    """A hint: `write 10MiB (10,485,760 bytes) or 10MB (10,000,000 bytes)`."""
    return f"write {' or '.join(f'{text} ({_note(text)})' for text in readings)}"


def format_size(size_bytes: int) -> str:
    """Exact, in the largest unit that fits: 10485760 -> `10MiB`, 10**10 -> `10GB`, 7 -> `7B`."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if size_bytes and size_bytes % _SIZES[unit] == 0:
            return f"{size_bytes // _SIZES[unit]}{unit}"
    return f"{size_bytes}B"


def format_size_rounded(size_bytes: float) -> str:
    """For people: 2621440000 -> `2.44 GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _SIZES[unit]:
            return f"{size_bytes / _SIZES[unit]:.4g} {unit}"
    return f"{size_bytes:.0f} B"


def format_rate(mbps: float) -> str:
    """For people: 238.7123 -> `239 Mbps`."""
    return f"{mbps / 1000:.3g} Gbps" if mbps >= 1000 else f"{mbps:.3g} Mbps"


def format_time(seconds: float) -> str:
    """For people: 0.0123 -> `12 ms`, 75 -> `1 m 15 s`, 7500 -> `2 h 5 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} m"


def _note(text: str) -> str:
    number, unit = _split(text, "size", SIZE_UNITS)
    return _NOTES.get(unit) or f"{int(number * _SIZES[unit]):,} bytes"


def _no_unit(text: str, readings: tuple[str, ...], units: str) -> UnitError:
    hint = spelled(readings) if readings else f"a number and a unit: {units}"
    return UnitError(f"{_shown(text)} has no unit", hint)


def _split(text: str, kind: str, units: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{_shown(text)} is not a {kind}", f"a number and a unit: {units}")
    return Decimal(match["number"]), match["unit"]


def _factor(text: str, unit: str, factors: Mapping[str, Number], kind: str, units: str) -> Number:
    if unit in factors:
        return factors[unit]
    # 'Mb/s' and 'MBps' are eight times apart for some and the same for others: name both.
    near = [known for known in factors if _folded(known) == _folded(unit)]
    advice = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnitError(
        f"{_shown(text)} has an unknown unit of {kind}, {_shown(unit)}", f"{advice}{units}"
    )


def _folded(unit: str) -> str:
    return unit.lower().replace("/s", "ps")


def _shown(text: str) -> str:
    cut = text if len(text) <= 40 else f"{text[:37]}…"
    # A terminal might obey what can't be printed.
    safe = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return f"'{''.join(safe)}'"
