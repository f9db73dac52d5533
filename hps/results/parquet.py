"""Parquet files as inputs: exports, and what `hps results compact` made, if they are ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hps.results import columns, database
from hps.results.database import PATTERN, texts
from hps.results.files import StoredFile

if TYPE_CHECKING:
    from hps.results.database import Connection


# What a file must have to be one of the tables.
_NEEDED: Mapping[str, frozenset[str]] = {
    "results": frozenset(
        {
            *("run_id", "operation_id", "cell", "repetition", "warmup", "step", "step_index"),
            *("status", "duration_s", "throughput_mbps", "chunk_size_bytes"),
        }
    ),
    "runs": frozenset({"run_id", "started_at", "accepted", "operations"}),
}
_OF_BOTH = frozenset({"machine_id", "experiment"})
_NOT_OURS = "has neither the columns of runs nor those of results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A query that gives rows with the columns of `table`, and the files that it reads."""

    table: str
    query: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What files have in common that one query can read."""

    table: str
    names: tuple[str, ...]


def rows_of(
    connection: Connection, files: Sequence[StoredFile]
) -> tuple[tuple[Rows, ...], dict[str, str]]:
    """The rows of all files; and by path which files, or how many rows, are passed over and why."""
    groups: dict[_Shape, list[str]] = {}
    skipped: dict[str, str] = {}
    for file in files:
        shape = _shape(connection, file)
        if isinstance(shape, str):
            skipped[file.path] = shape
        else:
            groups.setdefault(shape, []).append(file.path)
    found = []
    for shape, paths in groups.items():
        query = _query(connection, shape, paths)
        skipped |= _bad_rows(connection, query, columns.IS_ROW[shape.table])
        query = f"SELECT * FROM ({query}) WHERE {columns.IS_ROW[shape.table]}"
        found.append(Rows(table=shape.table, query=query, paths=tuple(paths)))
    return tuple(found), skipped


def _shape(connection: Connection, file: StoredFile) -> _Shape | str:
    """What a file holds, or why it is none of ours."""
    if PATTERN.search(file.path):
        return "the database takes its name for a pattern: rename it"
    try:
        read = connection.execute(f"SELECT * FROM {_read([file.path])} LIMIT 0").description
    except database.sql_error() as error:
        return database.first_line(error)
    names = tuple(column[0] for column in read or ())
    for table, needed in _NEEDED.items():
        if needed | _OF_BOTH <= set(names):
            return _Shape(table=table, names=names)
    return _NOT_OURS


def _read(paths: Sequence[str]) -> str:
    # The folders of compacted files name the experiment, which is no column of the files then.
    options = "filename='read_from', hive_partitioning=true, hive_types_autocast=false"
    return f"read_parquet({texts(paths)}, {options})"


def _query(connection: Connection, shape: _Shape, paths: Sequence[str]) -> str:
    selected = []
    for name, kind, *_ in connection.execute(f"DESCRIBE {columns.no_rows(shape.table)}").fetchall():
        if name == "file":
            selected.append("read_from AS file")
        elif name in shape.names:
            selected.append(f'TRY_CAST("{name}" AS {kind}) AS "{name}"')
        else:
            selected.append(f'NULL::{kind} AS "{name}"')
    return f"SELECT {', '.join(selected)} FROM {_read(paths)}"


def _bad_rows(connection: Connection, query: str, is_good: str) -> dict[str, str]:
    counted = connection.execute(
        f"SELECT file, count(*) FROM ({query}) WHERE ({is_good}) IS NOT TRUE GROUP BY file"
    ).fetchall()
    return {path: f"{count} rows that no run stores" for path, count in counted}
