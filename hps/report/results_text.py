"""Stored runs for people: a table of them, and one of them as a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tabulate import tabulate

from hps.compare.comparison import fault
from hps.compare.words import value_text
from hps.errors import printable
from hps.units import format_rate, format_size_rounded, format_time

Row = Mapping[str, object]

_COLUMNS = (
    "experiment",
    "run",
    "node",
    "began (UTC)",
    "ok",
    "not ok",
    "planned",
    "verdict",
    "file",
)


def runs(rows: Sequence[Row]) -> str:
    """A table with a line for each run."""
    if not rows:
        return "no runs"
    body = [_line(row) for row in rows]
    align = ["left"] * 4 + ["right"] * 3 + ["left"] * 2
    return tabulate(body, headers=_COLUMNS, disable_numparse=True, colalign=align)


def run(row: Row, results: Sequence[Row] = ()) -> str:
    """What is known of one run, a line for each fact; `results` name the tools that it used."""
    lines = [
        ("run", f"{row['run_id']} of {row['experiment']}"),
        ("node", str(row["machine_id"])),
        ("began", _when(row["started_at"])),
        ("verdict", verdict(row)),
        ("", _joined(row.get("reasons"), "; ")),
        ("", value_text(row.get("reason"))),
        ("fault", _fault(row)),
        ("results", _results(row)),
        ("spec", _joined([row.get("spec_source"), _digest(row)])),
        ("changed by", _joined(row.get("overrides"))),
        ("link", _link(row)),
        ("machine", _machine(row)),
        ("versions", _versions(row, results)),
        ("file", value_text(row.get("file"))),
    ]
    return "\n".join(f"{name:<11}{shown}" for name, value in lines if (shown := printable(value)))


def answer(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The answer to a query as a table; columns of numbers are set to the right."""
    body = [[printable(_value(value)) for value in row] for row in rows]
    numbers = [all(_is_number(row[index]) for row in rows) for index in range(len(columns))]
    align = ["right" if is_number and rows else "left" for is_number in numbers]
    return tabulate(body, headers=columns, disable_numparse=True, colalign=align)


def verdict(row: Row) -> str:
    """`accepted`, `rejected`, or `never began`; empty where the run's first line is missing.

    A node that was turned down is rejected; a run that could not begin for another reason never
    began.
    """
    accepted = row.get("accepted")
    if row.get("status") == "failed" and accepted is not False:
        return "never began"
    if accepted is None:
        return ""
    return "accepted" if accepted else "rejected"


def _fault(row: Row) -> str:
    code, owner = value_text(row.get("reason_code")), value_text(row.get("reason_owner"))
    return fault(code, owner) if code else ""


def _line(row: Row) -> list[str]:
    came_of_it = _joined([verdict(row), row.get("reason_code")], ": ")
    named = [row["experiment"], row["run_id"], row["machine_id"], _when(row["started_at"])]
    counted = [row["ok"], row["not_ok"], row["operations"]]
    return [printable(value_text(value)) for value in (*named, *counted, came_of_it, row["file"])]


def _results(row: Row) -> str:
    planned = f" of {row['operations']} planned" if row.get("operations") is not None else ""
    return f"{row['ok']} ok, {row['not_ok']} not ok{planned}"


def _digest(row: Row) -> str:
    return f"sha256 {str(row['spec_sha256'])[:12]}" if row.get("spec_sha256") else ""


def _link(row: Row) -> str:
    rtt_s, up, down = map(row.get, ("rtt_s", "probe_upload_mbps", "probe_download_mbps"))
    return _joined(
        [
            f"round trip {format_time(rtt_s)}" if isinstance(rtt_s, float) else "",
            f"up {format_rate(up)}" if isinstance(up, float) else "",
            f"down {format_rate(down)}" if isinstance(down, float) else "",
        ]
    )


def _machine(row: Row) -> str:
    cpus, memory = row.get("cpu_count"), row.get("memory_bytes")
    return _joined(
        [
            row.get("country"),
            row.get("gpu"),
            f"{cpus} CPUs" if cpus else "",
            format_size_rounded(memory) if isinstance(memory, int) else "",
            row.get("kernel"),
            row.get("congestion_control"),
        ]
    )


def _versions(row: Row, results: Sequence[Row]) -> str:
    """Of `hps`, of the client of its buckets, and of each other tool."""
    known: list[tuple[object, object]] = [
        (name, row.get(f"{name}_version")) for name in ("hps", "rclone")
    ]
    known += sorted({(one.get("tool"), one.get("tool_version")) for one in results}, key=str)
    return _joined([f"{name} {version}" for name, version in dict.fromkeys(known) if version])


def _joined(values: object, by: str = ", ") -> str:
    known = [value_text(value) for value in values] if isinstance(values, list) else []
    return by.join(value for value in known if value)


def _when(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else ""


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.7g}"
    return value.isoformat() if isinstance(value, datetime) else value_text(value)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
