"""Results as CSV: one line per operation, nested fields as `cell.chunk_size`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping


def render(records: Iterable[Mapping[str, object]]) -> str:
    """A header, and a line for every record of `kind: result`; lines end as RFC 4180 wants."""
    flat = [_flatten(record) for record in records if record["kind"] == "result"]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=_columns(flat), restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _columns(flat: Iterable[Mapping[str, object]]) -> list[str]:
    """Every field, but for those that are null here and have fields of their own there."""
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
