"""Files of JSON lines -> two Parquet files: every good line of them, and a word on the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hps.collect import bad_lines, batches, columns, database
from hps.collect.database import text, texts
from hps.collect.files import StoredFile

if TYPE_CHECKING:
    from hps.collect.database import Connection

# Which file of a part holds which table.
FILES: Mapping[str, str] = {"runs": "runs.parquet", "results": "results.parquet"}
# Longer lines never get as far as the database, but their marks make lines longer.
_LONGEST_LINE_BYTES = batches.LONGEST_LINE_BYTES + 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """Lines of one file that are good, and operations that are there more than once."""

    good: int = 0
    repeated: int = 0


def read(connection: Connection, files: Sequence[StoredFile], into: Path) -> dict[str, str]:
    """Write `runs.parquet` and `results.parquet` of files in one folder; `into` is made.

    Both have the columns of the tables; `file` is a file's name in its folder. Returns what was
    passed over, and why, by that name.
    """
    into.mkdir(parents=True)
    seen = batches.Seen()
    stages = list(_stages(connection, dict(enumerate(files)), into, seen))
    _name_lines(connection, files, stages)
    counts = _counts(connection)
    repeated = [name for name, count in counts.items() if count.repeated]
    for table, name in FILES.items():
        database.write_parquet(connection, _rows(table, repeated), into / name)
    for stage in stages:
        stage.unlink()
    paths = {file.name: Path(file.path) for file in files if file.name not in seen.refused}
    remarks = {
        name: _remark(path, seen.lines[name], counts.get(name, _Count()))
        for name, path in paths.items()
    }
    return {name: remark for name, remark in remarks.items() if remark} | seen.refused


def _stages(
    connection: Connection, files: Mapping[int, StoredFile], into: Path, seen: batches.Seen
) -> Iterator[Path]:
    """Parquet files with a row for each line; in smaller groups where the database refuses one."""
    mark, batch = f"file-{secrets.token_hex(6)}", into / "batch.jsonl"
    made: list[Path] = []
    try:
        for _ in batches.written(files, batch, mark, seen):
            made.append(into / f"stage-{secrets.token_hex(6)}.parquet")
            database.write_parquet(connection, f"SELECT * FROM {_lines(batch, mark)}", made[-1])
    except database.sql_error() as error:
        for path in made:
            path.unlink(missing_ok=True)
        if len(files) == 1:
            name = next(iter(files.values())).name
            seen.refused[name] = _why(connection, batch, mark, error)
            return
        numbers = list(files)
        for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]):
            yield from _stages(connection, {one: files[one] for one in half}, into, seen)
    else:
        yield from made
    finally:
        batch.unlink(missing_ok=True)


def _why(connection: Connection, batch: Path, mark: str, error: Exception) -> str:
    """Why a file is refused; where it can be read, it is the stage that can't be written."""
    try:
        connection.execute(f"SELECT count(kind) FROM {_lines(batch, mark)}")
    except database.sql_error() as refusal:
        return database.first_line(refusal)
    raise error


def _lines(batch: Path, mark: str) -> str:
    """Lines as rows, and in `number` and `line` their file's number and their own.

    Of bad lines all is NULL.
    """
    keys = ", ".join(f'"{name}" {kind}' for name, kind in columns.LINE.items())
    return (
        "(SELECT place[1] AS number, place[2] AS line, unnest(told)"
        f" FROM read_json({texts([batch])},"
        " format='newline_delimited', compression='uncompressed', ignore_errors=true,"
        f" maximum_object_size={_LONGEST_LINE_BYTES},"
        f" columns={{{text(mark)}: 'BIGINT[]', line: {text(f'STRUCT({keys})')}}}) t(place, told))"
    )


def _name_lines(
    connection: Connection, files: Sequence[StoredFile], stages: Sequence[Path]
) -> None:
    """The view `stage`: all lines, with the names of their files."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE names AS SELECT unnest(range({len(files)})) AS number,"
        f" unnest({texts(file.name for file in files)}) AS file"
    )
    nothing = f"SELECT NULL::BIGINT AS number, * EXCLUDE file FROM ({columns.no_lines()})"
    lines = f"SELECT * FROM read_parquet({texts(stages)})" if stages else nothing
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW stage AS SELECT * FROM ({lines}) JOIN names USING (number)"
    )


def _counts(connection: Connection) -> dict[str, _Count]:
    rows = connection.execute(
        "SELECT file, count(*) FILTER"
        f" (({columns.IS_RUN}) OR ({columns.IS_RESUME}) OR ({columns.IS_RESULT})),"
        " count(operation_id) - count(DISTINCT (run_id, operation_id))"
        " FILTER (operation_id IS NOT NULL) FROM stage GROUP BY file"
    ).fetchall()
    return {row[0]: _Count(good=row[1], repeated=row[2]) for row in rows}


def _rows(table: str, repeated: Sequence[str]) -> str:
    """The rows of a table. Operations of a run are made unique where that is needed: it is slow."""
    if table == "runs":
        return (
            f"SELECT DISTINCT ON (file, run_id) {columns.select(columns.RUNS)} FROM stage"
            f" WHERE {columns.IS_RUN} ORDER BY line"
        )
    rows = f"SELECT {columns.select(columns.RESULTS)} FROM stage WHERE {columns.IS_RESULT}"
    if not repeated:
        return rows
    repeats = f"list_contains({texts(repeated)}, file)"
    # The last line counts, whatever the clock said, but what was interrupted never replaces what
    # came to an end.
    last = "ORDER BY status = 'interrupted', line DESC"
    once = f"QUALIFY row_number() OVER (PARTITION BY file, run_id, operation_id {last}) = 1"
    return f"{rows} AND NOT {repeats} UNION ALL {rows} AND {repeats} {once}"


def _remark(path: Path, lines: int, count: _Count) -> str:
    """What was passed over in a file; empty: nothing."""
    remarks = [] if count.good else ["no results of hps"]
    if count.good < lines:
        remarks += bad_lines.explain(path, good=count.good)
    return "; ".join(remarks)
