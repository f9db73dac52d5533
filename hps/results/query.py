"""Questions in SQL about stored results, answered by reading and nothing else."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hps.errors import HpsError, MachineError
from hps.results import database
from hps.results.database import text, texts
from hps.results.listing import check_names, of_experiments
from hps.results.tables import Tables

if TYPE_CHECKING:
    from hps.results.database import Connection


_AT_ONCE = 10_000
_SHOWN_CHARACTERS = 1000
_HINT = "hps results views has the tables and their columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The columns of an answer, and for each whether its values are JSON."""

    columns: tuple[str, ...]
    is_json: tuple[bool, ...]
    cursor: Connection = field(repr=False)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, once. Raises `HpsError` for a mistake that shows only on the way."""
        while True:
            with _mistakes():
                rows = self.cursor.fetchmany(_AT_ONCE)
            if not rows:
                return
            yield from rows


def ask(tables: Tables, sql: str) -> QueryAnswer:
    """Answer one SELECT over the views. From then on no file but those of the views is read.

    Raises `HpsError` where it is something else, or is not understood.
    """
    database.lock(tables.connection, tables.paths)
    with _mistakes():
        if not database.is_one_select(tables.connection, sql):
            raise HpsError("the query is not one SELECT", _HINT)
        cursor = tables.connection.execute(sql)
    described: Sequence[Any] = cursor.description or ()
    return QueryAnswer(
        columns=tuple(str(column[0]) for column in described),
        is_json=tuple(str(column[1]) == "JSON" for column in described),
        cursor=cursor,
    )


@contextlib.contextmanager
def _mistakes() -> Iterator[None]:
    try:
        yield
    except database.sql_error() as error:
        raise HpsError(str(error).strip()[:_SHOWN_CHARACTERS], _HINT) from error


# -------------------------------------------------------------------------------------------------
# A table of stored results as one file: CSV, JSON lines or Parquet.

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
