"""The names that `--by`, `--where`, `--strata` and `--baseline` know, and what their values are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from types import MappingProxyType
from typing import Literal

from hps.errors import HpsError
from hps.model import (
    BOOLEAN_KNOBS,
    COUNT_KNOBS,
    DEFAULT,
    KNOBS,
    OWNERS,
    SIZE_KNOBS,
    STEP_KNOBS,
)
from hps.units import format_size, parse_rate_mbps, parse_size_bytes, parse_time_s

Kind = Literal["size", "count", "boolean", "text", "prefix", "date", "time", "rate", "owner"]
Value = str | int | float | bool
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """Classes of nodes by a number: below `low`, from `low` to `high`, above `high`, unknown."""

    low: float
    high: float
    labels: tuple[str, str, str]

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels from low to high, the unknown last."""
        return (*self.labels, UNKNOWN)


# Round trips in seconds; the probe's download in Mbps.
CLASSES: Mapping[str, Classes] = MappingProxyType(
    {
        "rtt": Classes(low=0.05, high=0.15, labels=("below 50 ms", "50 to 150 ms", "above 150 ms")),
        "bandwidth": Classes(
            low=100.0, high=300.0, labels=("below 100 Mbps", "100 to 300 Mbps", "above 300 Mbps")
        ),
    }
)


def _knob_kind(knob: str) -> Kind:
    if knob in SIZE_KNOBS:
        return "size"
    if knob in COUNT_KNOBS:
        return "count"
    return "boolean" if knob in BOOLEAN_KNOBS else "text"


_OTHERS: Mapping[str, Kind] = MappingProxyType(
    {
        "experiment": "text",
        "spec": "prefix",
        "commit": "prefix",
        "date": "date",
        "run": "text",
        "node": "text",
        "tool_version": "text",
        "country": "text",
        "gpu": "text",
        "rtt": "time",
        "bandwidth": "rate",
        "proxied": "text",
    }
)
BY: Mapping[str, Kind] = MappingProxyType({**{knob: _knob_kind(knob) for knob in KNOBS}, **_OTHERS})
WHERE: Mapping[str, Kind] = MappingProxyType(
    {
        **BY,
        "step": "text",
        "accepted": "boolean",
        "disturbed": "boolean",
        "reason_code": "text",
        "reason_owner": "owner",
    }
)
STRATA = ("rtt", "bandwidth", "country", "gpu", "proxied")
# What rows have that may be named as a baseline without being compared.
ROWS = ("experiment", "spec", "commit", "date", "run", "tool_version")
# Those of them that follow one another: of a baseline of these, now is what came after.
IN_TIME = ("spec", "commit", "date", "run")

_WORDS: Mapping[str, str] = MappingProxyType(
    {"rtt": "RTT", "gpu": "GPU", "http2": "HTTP/2", "tool_version": "tool version"}
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)


def known(flag: str, name: str, names: Iterable[str]) -> str:
    """The name, if it is one of `names`. Raises `HpsError`, which lists them and may guess one."""
    names = list(names)
    if name in names:
        return name
    near = get_close_matches(name.strip().lower(), names, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]}? " if near else ""
    raise HpsError(f"{flag}: there is no '{name[:60]}'", f"{meant}expected {', '.join(names)}")


def parse(flag: str, name: str, kind: Kind, text: str) -> Value:
    """A value in base units: bytes, seconds, Mbps. Raises `HpsError` naming the flag."""
    classes = CLASSES.get(name)
    if name in STEP_KNOBS and text == DEFAULT:
        return text
    if classes and text in classes.all_labels:
        return text
    try:
        return _PARSERS[kind](text)
    except HpsError as error:
        raise HpsError(f"{flag}: {name}: {error.message}", error.hint) from None


def key_value(flag: str, name: str, text: str) -> str | int | bool:
    """A value as cells are named by it: sizes as the shortest exact text, classes by their label.

    Raises `HpsError` naming the flag.
    """
    kind, value = BY[name], parse(flag, name, BY[name], text)
    if kind == "size" and value != DEFAULT:
        return format_size(int(value))
    if name in CLASSES and not isinstance(value, str):
        labels = ", ".join(CLASSES[name].all_labels)
        raise HpsError(f"{flag}: {name} is compared by class", f"expected one of {labels}")
    return value if isinstance(value, str | bool) else int(value)


def sort_key(name: str, value: str | int | bool) -> tuple[float, str]:
    """Puts values of one name in order: sizes and counts by number, classes from low to high.

    What is unknown comes last, the tool's own before all.
    """
    if value == UNKNOWN:
        return inf, ""
    if value == DEFAULT:
        return -inf, ""
    if name in SIZE_KNOBS:
        return float(parse_size_bytes(str(value))), ""
    if name in CLASSES:
        return float(CLASSES[name].labels.index(str(value))), ""
    return (0.0, value) if isinstance(value, str) else (float(value), "")


def word(name: str) -> str:
    """A name for people: `chunk_size` -> `chunk size`, `rtt` -> `RTT`."""
    return _WORDS.get(name, name.replace("_", " "))


def stratum(name: str, value: str) -> str:
    """What a class of nodes is called: `RTT below 50 ms`."""
    return f"{word(name)} {value}"


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise HpsError(f"'{text[:40]}' is not a whole number")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise HpsError(f"'{text[:40]}' is neither true nor false")
    return text == "true"


def _owner(text: str) -> str:
    if text not in OWNERS:
        raise HpsError(f"'{text[:40]}' owns no failure", f"expected one of {', '.join(OWNERS)}")
    return text


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise HpsError(f"'{text[:40]}' is not a date", "write it as 2026-09-01 (UTC)")
    return text


_PARSERS: Mapping[Kind, Callable[[str], Value]] = MappingProxyType(
    {
        "size": parse_size_bytes,
        "count": _count,
        "boolean": _boolean,
        "text": str,
        "prefix": str.lower,
        "date": _date,
        "time": parse_time_s,
        "rate": parse_rate_mbps,
        "owner": _owner,
    }
)
