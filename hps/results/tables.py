"""Stored results as tables: `runs`, `results` and `nodes`, whatever files they came from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from hps.errors import MachineError
from hps.process import temporary
from hps.results import columns, database, files, index
from hps.results.database import PATTERN, texts
from hps.results.files import StoredFile
from hps.results.index import Tell

if TYPE_CHECKING:
    from hps.results.database import Connection


# -------------------------------------------------------------------------------------------------
# Parquet files as inputs: exports, and files of `hps results compact`.

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
    """A query for rows with the columns of `table`, and the files that it reads, by their paths."""

    table: str
    query: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What files that one query can read have in common."""

    table: str
    names: tuple[str, ...]


def rows_of(
    connection: Connection, files: Sequence[StoredFile]
) -> tuple[tuple[Rows, ...], dict[str, str]]:
    """Queries for the rows of all files, and what is passed over.

    The latter says by path why a whole file is, or how many of its rows are.
    """
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
    """The shape of a file's rows, or as text why they are none of the tables'."""
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


# -------------------------------------------------------------------------------------------------
# All files together, as views in which each run stands once.

# Of a run that is found in several files, the one with more operations counts, and of those with
# as many the one that has the later line: there an operation has another result since.
_FIRST = "lines DESC, last_line DESC, file LIKE '%.parquet', file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """An open database with the views; `paths` are the files that these read.

    `skipped` says by file what of it was passed over, and why.
    """

    connection: Connection
    skipped: Mapping[str, str]
    paths: Sequence[str]


@contextlib.contextmanager
def opened(inputs: Sequence[Path], tell: Tell = lambda _: None) -> Iterator[Tables]:
    """The tables of the files that `inputs` name, and of those in the folders among them.

    A run that is found twice counts once. `tell` is called with a line where reading takes a while.
    Raises `HpsError` for an input that does not exist, and `MachineError` where there is no space
    to read them.
    """
    found = files.find(inputs)
    with (
        temporary.folder("hps-tables-") as scratch,
        database.opened(scratch / "spill") as connection,
    ):
        sources = _Sources(connection, dict(found.skipped))
        try:
            sources.add(found.files, scratch, tell)
            sources.make_views()
        except database.shortages() as error:
            what = f"the results could not be read: {database.first_line(error)}"
            raise MachineError(what, "is there space in the temporary folder (TMPDIR)?") from error
        yield Tables(connection=connection, skipped=sources.skipped, paths=sources.paths)


class _Sources:
    """Queries that together give all rows of each table."""

    def __init__(self, connection: Connection, skipped: dict[str, str]) -> None:
        self.skipped = skipped
        self.paths: list[str] = []
        self._connection = connection
        self._queries = {table: [columns.no_rows(table)] for table in columns.TABLES}

    def add(self, files: Sequence[StoredFile], scratch: Path, tell: Tell) -> None:
        """Add the rows of these files; `scratch` takes what is read now and not kept."""
        lines = [file for file in files if not file.is_parquet]
        for number, (folder, group) in enumerate(groupby(lines, attrgetter("folder"))):
            for live in index.gather(self._connection, list(group), scratch / str(number), tell):
                self._add_live(live, folder)
        self._add_parquet([file for file in files if file.is_parquet])

    def _add_live(self, live: index.Live, folder: Path) -> None:
        for table, queries in self._queries.items():
            queries.append(live.query(table, f"{folder}/"))
        self.paths += live.paths
        self.skipped |= {f"{folder}/{name}": why for name, why in live.remarks.items()}

    def _add_parquet(self, files: Sequence[StoredFile]) -> None:
        found, skipped = rows_of(self._connection, files)
        for rows in found:
            self._queries[rows.table].append(rows.query)
            self.paths += rows.paths
        self.skipped |= skipped

    def make_views(self) -> None:
        """Make the views, in which each run is once."""
        execute = self._connection.execute
        execute("CREATE SCHEMA stored")
        for table, queries in self._queries.items():
            execute(f"CREATE VIEW stored.{table} AS {' UNION ALL '.join(queries)}")
        execute(
            "CREATE TABLE stored.places AS"
            " SELECT run_id, file, count(*) AS lines, max(line) AS last_line FROM stored.results"
            " GROUP BY run_id, file"
        )
        execute(f"CREATE VIEW results AS {self._results()}")
        execute(f"CREATE VIEW runs AS {self._runs()}")
        execute(f"CREATE VIEW nodes AS {columns.NODES}")

    def _results(self) -> str:
        self._connection.execute(
            "CREATE TABLE stored.repeated AS SELECT run_id, file FROM stored.places"
            f" QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_FIRST}) > 1"
        )
        if not self._any("stored.repeated"):
            return "SELECT * FROM stored.results"
        return "SELECT * FROM stored.results ANTI JOIN stored.repeated USING (run_id, file)"

    def _runs(self) -> str:
        repeated = "(SELECT run_id FROM stored.runs GROUP BY run_id HAVING count(*) > 1)"
        if not self._any(repeated):
            return "SELECT * FROM stored.runs"
        return (
            "SELECT r.* FROM stored.runs r LEFT JOIN stored.places p USING (run_id, file)"
            f" QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_FIRST}) = 1"
        )

    def _any(self, rows: str) -> bool:
        return self._connection.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None
