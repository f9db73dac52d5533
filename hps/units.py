"""Sizes, rates and times: parsed from text with a unit, kept as bytes, Mbps and seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
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

Number = TypeVar("Number", int, Decimal)

SIZE_UNITS = "KiB, MiB, GiB, TiB, or kB, MB, GB, TB"
RATE_UNITS = "kbps, Mbps, Gbps (bits a second), or MiB/s"
TIME_UNITS = "ms, s, m or h"


def parse_size_bytes(text: str) -> int:
    """`10MiB` -> 10485760. Raises `UnitError` where the unit is missing, ambiguous or unknown."""
    number, unit = _split(text, "size", SIZE_UNITS)
    if unit == "" or unit in {"K", "M", "G", "T", "k"}:
        raise UnitError(f"{_shown(text)} has no unit", _two_readings(number, unit))
    factor = _factor(text, unit, _SIZES, "size", SIZE_UNITS)
    size_bytes = number * factor
    if size_bytes != size_bytes.to_integral_value():
        raise UnitError(f"{_shown(text)} is not a whole number of bytes", "round it")
    return int(size_bytes)


def parse_rate_mbps(text: str) -> float:
    """`20Mbps` -> 20.0, `1MiB/s` -> 8.388608. Raises `UnitError`."""
    number, unit = _split(text, "rate", RATE_UNITS)
    if unit == "":
        hint = f"write {number}Mbps for megabits or {number}MiB/s for mebibytes a second"
        raise UnitError(f"{_shown(text)} has no unit", hint)
    factor = _factor(text, unit, _BITS_PER_SECOND, "rate", RATE_UNITS)
    return float(number * factor / 1_000_000)


def parse_time_s(text: str) -> float:
    """`300ms` -> 0.3. Raises `UnitError`."""
    number, unit = _split(text, "time", TIME_UNITS)
    if unit == "":
        hint = f"write {number}s for seconds or {number}ms for milliseconds"
        raise UnitError(f"{_shown(text)} has no unit", hint)
    return float(number * _factor(text, unit, _SECONDS, "time", TIME_UNITS))


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


def _two_readings(number: Decimal, unit: str) -> str:
    prefix = unit.upper() or "M"
    decimal = "kB" if prefix == "K" else f"{prefix}B"
    binary_bytes = int(number * _SIZES[f"{prefix}iB"])
    decimal_bytes = int(number * _SIZES[decimal])
    return (
        f"write {number}{prefix}iB ({binary_bytes:,} bytes) or {number}{decimal} "
        f"({decimal_bytes:,} bytes)"
    )


def _shown(text: str) -> str:
    cut = text if len(text) <= 40 else f"{text[:37]}…"
    # What cannot be printed is shown as an escape, for a terminal might obey it.
    safe = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return f"'{''.join(safe)}'"
