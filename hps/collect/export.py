"""A table of stored results as one file: CSV, JSON lines or Parquet."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from hps.collect import database
from hps.collect.database import text, texts
from hps.collect.listing import check_names, of_experiments
from hps.collect.tables import Tables
from hps.errors import MachineError

_TIMES = "TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ'"
FORMATS: Mapping[str, str] = {
    "csv": f"FORMAT csv, HEADER, {_TIMES}",
    "jsonl": f"FORMAT json, {_TIMES}",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
_ORDER = {
    "runs": "started_at, run_id",
    "results": "run_id, started_at, step_index, operation_id",
    "nodes": "machine_id",
}
TABLES = tuple(_ORDER)


def export(tables: Tables, table: str, style: str, experiments: Sequence[str], path: Path) -> None:
    """Write a table, or the rows of these experiments in it, to `path`: as a whole or not at all.

    Raises `HpsError` for an experiment without results, and `MachineError` where it can't be
    written.
    """
    check_names(tables, experiments)
    where = of_experiments(experiments)
    if table == "nodes" and experiments:
        where = f"list_has_any(experiments, {texts(experiments)})"
    unfinished = path.with_name(f".hps-{secrets.token_hex(4)}")
    query = f"SELECT * FROM {table} WHERE {where} ORDER BY {_ORDER[table]}"
    try:
        tables.connection.execute(f"COPY ({query}) TO {text(unfinished)} ({FORMATS[style]})")
        unfinished.replace(path)
    except (OSError, database.sql_error()) as error:
        with contextlib.suppress(OSError):  # the folder itself may be the trouble
            unfinished.unlink(missing_ok=True)
        what = f"{path} could not be written: {database.first_line(error)}"
        raise MachineError(what, "name another file with -o") from error
