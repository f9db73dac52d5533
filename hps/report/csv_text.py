"""Results as CSV: one line per operation, nested fields as `cell.chunk_size`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping


def render(records: Iterable[Mapping[str, object]]) -> str:
    """A header, and a line for every record of `kind: result`; lines end as RFC 4180 wants."""
    flat = [_flatten(record) for record in records if record["kind"] == "result"]
    columns = list(dict.fromkeys(column for record in flat for column in record))
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=columns, restval="")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flatten(record: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if not isinstance(value, bool) else str(value).lower()
    return flat
