"""DuckDB in memory: opened with little memory and no way out, and the few words to talk to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from hps.errors import MachineError

# Characters that make the database take the name of a file for a pattern.
PATTERN = re.compile(r"[*?\[\]{}\\]")
_MEMORY = "1GiB"
_SHOWN_CHARACTERS = 300


class Connection(Protocol):
    """What hps uses of DuckDB's connections; their library is imported where one is opened."""

    def execute(self, query: str, parameters: object = None) -> Connection:
        """Run a statement; its result can then be fetched. Raises `sql_error()`."""

    def fetchall(self) -> list[Any]:
        """All rows, as tuples."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None where there is none."""

    def fetchmany(self, size: int = 1) -> list[Any]:
        """The next rows, no more than `size`."""

    def fetchnumpy(self) -> dict[str, Any]:
        """All rows, as an array for each column by its name."""

    def extract_statements(self, query: str) -> list[Any]:
        """The statements of a text, parsed but not run."""

    @property
    def description(self) -> list[tuple[Any, ...]]:
        """Name and type of each column of the result."""


@contextlib.contextmanager
def opened(spill: Path) -> Iterator[Connection]:
    """A database in memory; what does not fit goes to the folder `spill`.

    It installs and loads nothing, and sees no variables of this program. Raises `MachineError`
    where a query of the block needs more memory than it is given, or more disk than there is.
    """
    import duckdb  # noqa: PLC0415

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "temp_directory": str(spill),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        yield cast(Connection, connection)
    except duckdb.OutOfMemoryException as error:
        what = f"that takes more than {_MEMORY} of memory: {first_line(error)}"
        raise MachineError(what, "choose fewer results, with --where or --input") from error
    except duckdb.IOException as error:
        what = f"the results could not be worked on: {first_line(error)}"
        raise MachineError(what, "is there space in the temporary folder (TMPDIR)?") from error
    finally:
        connection.close()


def lock(connection: Connection, paths: Sequence[str]) -> None:
    """From now on only these files can be read, nothing can be loaded, and no setting changes."""
    if connection.execute("SELECT current_setting('lock_configuration')").fetchone() == (True,):
        return
    connection.execute(f"SET allowed_paths = {texts(paths)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def is_single_select(connection: Connection, sql: str) -> bool:
    """True for one statement that reads. Raises `sql_error()` where it can't be understood."""
    import duckdb  # noqa: PLC0415

    statements = connection.extract_statements(sql)
    return len(statements) == 1 and statements[0].type == duckdb.StatementType.SELECT


def sql_error() -> type[Exception]:
    """The class of every error that the database raises."""
    import duckdb  # noqa: PLC0415

    return duckdb.Error


def shortages() -> tuple[type[Exception], ...]:
    """The classes of errors that mean too little disk or memory, or that nothing can be written."""
    import duckdb  # noqa: PLC0415

    return OSError, duckdb.IOException, duckdb.OutOfMemoryException


def first_line(error: Exception) -> str:
    """The first line of an error's text, cut at a readable length."""
    return (str(error).splitlines() or [type(error).__name__])[0][:_SHOWN_CHARACTERS]


def write_parquet(connection: Connection, query: str, path: Path) -> None:
    """Write the rows of a query to one Parquet file."""
    connection.execute(f"COPY ({query}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd)")


def text(value: object) -> str:
    """A value as a literal of SQL, quoted."""
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Iterable[object]) -> str:
    """Values as a list of literals: `['a', 'b']::VARCHAR[]`."""
    return f"[{', '.join(text(value) for value in values)}]::VARCHAR[]"
