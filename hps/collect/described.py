"""The tables as they are, for people: each column with its type and its meaning."""

from __future__ import annotations

from hps import temporary
from hps.collect import database, meaning
from hps.collect.columns import NODES, TABLES, no_rows


def described() -> str:
    """A paragraph for each table and a line for each column."""
    with temporary.folder() as folder, database.opened(folder) as connection:
        for table in TABLES:
            connection.execute(f"CREATE VIEW {table} AS {no_rows(table)}")
        connection.execute(f"CREATE VIEW nodes AS {NODES}")
        parts = []
        for table, what in meaning.TABLES.items():
            columns = connection.execute(f"DESCRIBE {table}").fetchall()
            lines = [
                f"  {name:<28}{kind:<12}{meaning.COLUMNS[table].get(name, '')}"
                for name, kind, *_ in columns
            ]
            parts.append("\n".join([f"{table}: {what}", *lines]))
    return "\n\n".join(parts) + "\n"
