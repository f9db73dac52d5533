"""The table of a run: a row per cell and step, for people, made with tabulate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from hps.compare.summary import Row
from hps.compare.words import value_text
from hps.report.values import number_text
from hps.units import format_size

_COLUMNS = (
    "step",
    "ok",
    "not ok",
    "chunk",
    "streams",
    "seen",
    "conns",
    "median s",
    "median",
    "min",
    "max Mbps",
)
_STARVED = "measured while the machine was short of processor time"
LEGEND = (
    "chunk, streams: what the tool applied to one file; seen: the most chunks in flight at once;\n"
    "conns: the most TCP connections with payload at once; blank: too quick to tell;\n"
    "rates: Mbps over the whole operation."
)


def render(rows: Sequence[Row], style: str = "simple") -> str:
    """The table in one of tabulate's formats; in `simple`, with a legend."""
    if not rows:
        return "no results"
    axes = list(dict.fromkeys(axis for row in rows for axis in row.cell))
    body = [[*(value_text(row.cell.get(axis)) for axis in axes), *_values(row)] for row in rows]
    align = ["left"] * (len(axes) + 1) + ["right"] * (len(_COLUMNS) - 1)
    table = tabulate(
        body,
        headers=[*axes, *_COLUMNS],
        tablefmt=style,
        disable_numparse=True,
        colalign=align,
    )
    notes = [LEGEND, *_notes(rows)] if style == "simple" else _notes(rows)
    return "\n\n".join([table, *notes])


def cell_name(cell: Mapping[str, object]) -> str:
    """A cell as experiment files spell it: `chunk_size=10MiB concurrency=4`."""
    settings = (f"{axis}={value_text(value)}" for axis, value in cell.items())
    return " ".join(settings) or "the only cell"


def _values(row: Row) -> list[str]:
    if row.same_as is not None:
        return [row.name, "=", *[""] * (len(_COLUMNS) - 2)]
    effective, observed = row.effective or {}, row.observed or {}
    bad = " ".join(f"{count} {status}" for status, count in row.not_ok.items())
    return [
        row.name,
        str(row.n),
        bad or "0",
        _size(effective.get("chunk_size_bytes")),
        value_text(effective.get("concurrency")),
        value_text(observed.get("peak_in_flight")),
        value_text(observed.get("connections")),
        number_text(row.median_s),
        number_text(row.median_mbps),
        number_text(row.min_mbps),
        number_text(row.max_mbps),
    ]


def _notes(rows: Sequence[Row]) -> list[str]:
    merged = [
        f"= {row.name} {cell_name(row.cell)}: same as {cell_name(row.same_as)}; {row.reason}"
        for row in rows
        if row.same_as is not None and row.moves_payload
    ]
    wrong = [f"! {row.name} {cell_name(row.cell)}: {row.reason}" for row in rows if any(row.not_ok)]
    disturbed = sum(row.disturbed for row in rows)
    measured = sum(row.n for row in rows)
    starved = [f"~ {disturbed} of {measured} {_STARVED}"] if disturbed else []
    return ["\n".join(lines) for lines in (merged, wrong, starved) if lines]


def _size(value: object) -> str:
    return format_size(value) if isinstance(value, int) else ""
