"""What is stored: every run in a line, and one run with all that it measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hps.errors import HpsError
from hps.results.database import text, texts
from hps.results.tables import Tables

Row = dict[str, Any]

_TRANSFER = ("chunk_size_bytes", "concurrency", "transfers", "http2", "checksum")
_OBSERVED = ("chunks", "chunk_size_bytes", "peak_in_flight", "connections", "bytes")
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
    """Raises `HpsError` for an experiment that nothing is stored of."""
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
    """A condition that holds for rows of these experiments; of all where none is named."""
    return f"list_contains({texts(experiments)}, experiment)" if experiments else "true"


def runs(tables: Tables, experiments: Sequence[str]) -> list[Row]:
    """A row for each run: experiment, when, how many results, verdict, file; in order of time."""
    check_names(tables, experiments)
    where = of_experiments(experiments)
    query = f"SELECT * FROM ({_LISTED}) WHERE {where} ORDER BY started_at, run_id"
    return list(_rows(tables, query))


def run(tables: Tables, run_id: str) -> tuple[Row, list[Row]]:
    """A run and its results, by its id or the beginning of it.

    Raises `HpsError` where there is none, or more than one.
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


def records(run_row: Row, results: Sequence[Row]) -> Iterator[Mapping[str, object]]:
    """The lines of a run, as far as a summary of it needs them."""
    yield {"kind": "run", "cells": run_row.get("cells"), "merged": run_row.get("merged")}
    for row in results:
        yield {
            **row,
            "kind": "result",
            "effective": _group(row, "effective", _TRANSFER),
            "observed": _group(row, "observed", _OBSERVED),
        }


def _group(row: Row, prefix: str, names: Sequence[str]) -> Row | None:
    group = {name: row[f"{prefix}_{name}"] for name in names}
    return group if any(value is not None for value in group.values()) else None


def _rows(tables: Tables, query: str) -> Iterator[Row]:
    """Rows by the names of their columns; JSON is read."""
    cursor = tables.connection.execute(query)
    columns = [(column[0], str(column[1]) == "JSON") for column in cursor.description or ()]
    for values in cursor.fetchall():
        yield {
            name: json.loads(value) if is_json and value is not None else value
            for (name, is_json), value in zip(columns, values, strict=True)
        }
