"""Numbers for people: three digits that say something, and nothing where nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hps.analyze.comparison import Interval

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


def value_text(value: object) -> str:
    """A knob's value, or whatever else a cell is named by, as it stands in an experiment file."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def plural(count: int, noun: str) -> str:
    """`1 node`, `1,234 nodes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clean(text: str) -> str:
    """On one line, and with nothing in it that a terminal obeys instead of showing it."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
