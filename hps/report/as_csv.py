"""A comparison as CSV: one line per cell and panel. The header depends on `--by` alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hps.compare.comparison import CellSummary, Comparison, Findings, Key, bounds
from hps.compare.gates import GateResult
from hps.compare.words import value_text
from hps.report.answer import provider
from hps.report.table import cell_name

STATUSES = ("ok", "failed", "invalid", "timeout", "skipped", "interrupted")
_PANEL = ("title", "stratum", "step", "direction", "provider", "shared", "unit", "decision")
_CELL = (
    *("units", *STATUSES),
    *("min_mbps", "p10_mbps", "median_mbps", "median_low_mbps", "median_high_mbps"),
    *("p90_mbps", "max_mbps", "first_done_s", "p50_duration_s", "last_done_s"),
    *("failure_rate", "failure_rate_low", "failure_rate_high"),
    *("requests_per_gb", "dollars_per_gb", "is_answer", "same_as"),
)


def columns(by: Sequence[str]) -> tuple[str, ...]:
    """The header: the panel, the cell in numbers, then `cell.<name>` for each name of `--by`."""
    return (*_PANEL, *_CELL, *(f"cell.{name}" for name in by))


def render(findings: Findings, gates: Sequence[GateResult] = ()) -> str:
    """A header and a line for every cell; lines end as RFC 4180 wants. It has no gates."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns(findings.by))
    for comparison in findings.comparisons:
        for cell in comparison.cells:
            writer.writerow(_row(comparison, cell, findings.by))
    return out.getvalue()


def _row(comparison: Comparison, cell: CellSummary, by: Sequence[str]) -> list[object]:
    low, high = bounds(cell.interval)
    failure_low, failure_high = bounds(cell.failure_interval)
    made = {
        "provider": provider(comparison),
        "shared": _named(comparison.shared),
        "decision": comparison.decision.kind,
        **{status: cell.statuses.get(status, 0) for status in STATUSES},
        "ok": cell.ok,
        "median_low_mbps": low,
        "median_high_mbps": high,
        "failure_rate_low": failure_low,
        "failure_rate_high": failure_high,
        "is_answer": value_text(cell.key == comparison.decision.cell),
        "same_as": _named(cell.same_as),
    }
    # All others are fields of the cell, or else of the comparison.
    fields = (name for name in (*_PANEL, *_CELL) if name not in made)
    made |= {name: getattr(cell if hasattr(cell, name) else comparison, name) for name in fields}
    keys = (value_text(cell.key.get(name)) for name in by)
    return [*(made[name] for name in (*_PANEL, *_CELL)), *keys]


def _named(key: Key | None) -> str:
    return cell_name(key) if key else ""


# -------------------------------------------------------------------------------------------------
# Results as CSV: one line per operation, nested fields as `cell.chunk_size`.


def render_records(records: Iterable[Mapping[str, object]]) -> str:
    """A header, and a line for every record of `kind: result`; lines end as RFC 4180 wants.

    It goes through the records twice and keeps none.
    """
    out = io.StringIO()
    columns = _columns(_flat(records))
    writer = csv.DictWriter(out, fieldnames=columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_flat(records))
    return out.getvalue()


def _flat(records: Iterable[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    return (_flatten(record) for record in records if record["kind"] == "result")


def _columns(flat: Iterable[Mapping[str, object]]) -> list[str]:
    """Every field, but those that are null in one record and hold fields in another."""
    columns = dict.fromkeys(column for record in flat for column in record)
    parents = {column.rpartition(".")[0] for column in columns}
    return [column for column in columns if column not in parents]


def _flatten(record: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if not isinstance(value, bool) else str(value).lower()
    return flat
