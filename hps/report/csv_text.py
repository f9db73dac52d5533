"""Results as CSV: one line per operation, nested fields as `cell.chunk_size`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping


def render(records: Iterable[Mapping[str, object]]) -> str:
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
