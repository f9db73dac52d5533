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
from hps.results import columns, database, files, index, parquet
from hps.results.files import StoredFile
from hps.results.index import Tell

if TYPE_CHECKING:
    from hps.results.database import Connection


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

    A run that is found twice counts once. `tell` gets a line where it takes a while. Raises
    `HpsError` for an input that is not there, and where there is no space to read them.
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
        """The rows of these files."""
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
        found, skipped = parquet.rows_of(self._connection, files)
        for rows in found:
            self._queries[rows.table].append(rows.query)
            self.paths += rows.paths
        self.skipped |= skipped

    def make_views(self) -> None:
        """The views, each run in them once."""
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
