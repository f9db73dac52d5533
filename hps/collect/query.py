"""Questions in SQL about stored results, answered by reading and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hps.collect import database
from hps.collect.tables import Tables
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.collect.database import Connection

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
