"""Stored results listed, shown, queried in SQL and exported to a file. They are only read."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hps.errors import HpsError, MachineError
from hps.results import database
from hps.results.database import text, texts
from hps.results.tables import Tables

if TYPE_CHECKING:
    from hps.results.database import Connection


# -------------------------------------------------------------------------------------------------
# A row for each run, and one run with all that it measured.

Row = dict[str, Any]

_COUNTED = """
SELECT run_id, any_value(experiment) AS experiment, any_value(machine_id) AS machine_id,
  min(started_at) AS first_at, count(*) FILTER (status = 'ok') AS ok,
  count(*) FILTER (status <> 'ok') AS not_ok, any_value(file) AS file
FROM results GROUP BY run_id
"""
_LISTED = f"""
SELECT coalesce(r.experiment, c.experiment) AS experiment,
  coalesce(r.run_id, c.run_id) AS run_id,
  coalesce(r.machine_id, c.machine_id) AS machine_id,
  coalesce(r.started_at, c.first_at) AS started_at,
  r.operations AS operations, coalesce(c.ok, 0) AS ok, coalesce(c.not_ok, 0) AS not_ok,
  r.status AS status, r.accepted AS accepted, r.action AS action, r.reasons AS reasons,
  r.reason AS reason, r.reason_code AS reason_code, r.reason_owner AS reason_owner,
  coalesce(c.file, r.file) AS file
FROM runs r FULL JOIN ({_COUNTED}) c USING (run_id)
"""


def check_names(tables: Tables, experiments: Sequence[str]) -> None:
    """Raises `HpsError` where nothing is stored of one of these experiments."""
    known = [
        row[0]
        for row in tables.connection.execute(
            "SELECT experiment FROM runs UNION SELECT experiment FROM results ORDER BY 1"
        ).fetchall()
    ]
    for name in experiments:
        if name not in known:
            there = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            hint = f"there are results of: {there}" if known else "hps results pull fetches some"
            raise HpsError(f"there are no results of an experiment '{name}'", hint)


def of_experiments(experiments: Sequence[str]) -> str:
    """A condition of SQL for rows of these experiments; without any, for all rows."""
    return f"list_contains({texts(experiments)}, experiment)" if experiments else "true"


def runs(tables: Tables, experiments: Sequence[str]) -> list[Row]:
    """A row for each run: experiment, when, how many results, verdict, file; in order of time."""
    check_names(tables, experiments)
    where = of_experiments(experiments)
    query = f"SELECT * FROM ({_LISTED}) WHERE {where} ORDER BY started_at, run_id"
    return list(_rows(tables, query))


def find_run(tables: Tables, run_id: str) -> tuple[Row, list[Row]]:
    """One run and its results. `run_id` may be the beginning of an id.

    Raises `HpsError` where no run has such an id, or several have.
    """
    begins = f"starts_with(run_id, {text(run_id)})"
    found = list(_rows(tables, f"SELECT * FROM ({_LISTED}) WHERE {begins} ORDER BY run_id"))
    if not found:
        raise HpsError(f"there is no run '{run_id}'", "hps results list has them all")
    exact = [row for row in found if row["run_id"] == run_id]
    if len(found) > 1 and not exact:
        ids = ", ".join(row["run_id"] for row in found[:5])
        raise HpsError(f"{len(found)} runs begin with '{run_id}'", f"such as {ids}")
    listed = (exact or found)[0]
    is_it = f"run_id = {text(listed['run_id'])}"
    facts = next(_rows(tables, f"SELECT * FROM runs WHERE {is_it}"), {})
    results = f"SELECT * FROM results WHERE {is_it} ORDER BY started_at, step_index, operation_id"
    return {**facts, **listed}, list(_rows(tables, results))


def records_of(run_row: Row, results: Sequence[Row]) -> Iterator[Mapping[str, object]]:
    """A run's lines as they were stored, as far as a summary needs them."""
    yield {"kind": "run", "cells": run_row.get("cells"), "merged": run_row.get("merged")}
    for row in results:
        yield {
            **row,
            "kind": "result",
            "effective": _group(row, "effective_"),
            "observed": _group(row, "observed_"),
        }


def _group(row: Row, prefix: str) -> Row | None:
    """The columns with this prefix as one object; None where all of them are NULL."""
    group = {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }
    return group if any(value is not None for value in group.values()) else None


def _rows(tables: Tables, query: str) -> Iterator[Row]:
    """The rows of a query, by the names of columns; JSON is parsed."""
    cursor = tables.connection.execute(query)
    columns = [(column[0], str(column[1]) == "JSON") for column in cursor.description or ()]
    for values in cursor.fetchall():
        yield {
            name: json.loads(value) if is_json and value is not None else value
            for (name, is_json), value in zip(columns, values, strict=True)
        }


# -------------------------------------------------------------------------------------------------
# Queries in SQL, which may read and nothing else.

_AT_ONCE = 10_000
_SHOWN_CHARACTERS = 1000
_HINT = "hps results views has the tables and their columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The columns of an answer, and for each whether its values are JSON; `rows` fetches them."""

    columns: tuple[str, ...]
    is_json: tuple[bool, ...]
    cursor: Connection = field(repr=False)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, once. Raises `HpsError` for a mistake that shows only while they are made."""
        while True:
            with _mistakes():
                rows = self.cursor.fetchmany(_AT_ONCE)
            if not rows:
                return
            yield from rows


def ask(tables: Tables, sql: str) -> QueryAnswer:
    """Answer one SELECT over the views. From then on only the files of the views can be read.

    Raises `HpsError` where it is something else, or is not understood.
    """
    database.lock(tables.connection, tables.paths)
    with _mistakes():
        if not database.is_single_select(tables.connection, sql):
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

    `style` is one of `FORMATS`. Raises `HpsError` for an experiment without results, and
    `MachineError` where the file can't be written.
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
