"""Files of JSON lines -> two Parquet files of their good lines, and why others are passed over."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hps.results import columns, database
from hps.results.database import text, texts
from hps.results.files import StoredFile

if TYPE_CHECKING:
    from hps.results.database import Connection


# -------------------------------------------------------------------------------------------------
# Many files of JSON lines as few large ones, since the database takes milliseconds for each file.
#
# Every line is put into an object beside the numbers of its file and of itself, from 1:
# `{"<mark>":[7,1],"line":…}`.

LONGEST_LINE_BYTES = 16 * 1024**2
_BATCH_BYTES = 128 * 1024**2
_BLOCK_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """By a file's name, how many lines it has, or why it can't be read."""

    lines: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def written(files: Mapping[int, StoredFile], batch: Path, mark: str, seen: Seen) -> Iterator[None]:
    """Fill the file `batch` again and again, and yield whenever it is full, or the last.

    `files` are by the number that their lines carry. Lines that are too long are empty in the
    batch.
    """
    with batch.open("wb") as out:
        for number, file in files.items():
            head = b'{"%s":[%d,' % (mark.encode(), number)
            seen.lines[file.name] = 0
            for block in _blocks_of(file, seen):
                lines = block.split(b"\n")
                first = seen.lines[file.name] + 1
                out.writelines(
                    b'%b%d],"line":%b}\n' % (head, at, line) for at, line in enumerate(lines, first)
                )
                seen.lines[file.name] += len(lines)
                if out.tell() >= _BATCH_BYTES:
                    yield from _full(out)
        yield from _full(out)


def _full(out: BinaryIO) -> Iterator[None]:
    out.flush()
    yield
    out.seek(0)
    out.truncate()


def _blocks_of(file: StoredFile, seen: Seen) -> Iterator[bytes]:
    try:
        with open(file.path, "rb", buffering=0) as stream:  # noqa: PTH123 - there are thousands
            for block in _blocks(stream, min(_BLOCK_BYTES, file.size_bytes + 1)):
                yield _short_lines(block)
    except OSError as error:
        seen.refused[file.name] = str(error.strerror)


def _blocks(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Blocks of whole lines, without the last line end. A line that is far too long is cut."""
    rest = b""
    while block := stream.read(size_bytes):
        end = block.rfind(b"\n")
        if end >= 0:
            yield rest + block[:end]
            rest = block[end + 1 :]
        elif len(rest) <= LONGEST_LINE_BYTES:
            rest += block
    if rest:
        yield rest


def _short_lines(block: bytes) -> bytes:
    if len(block) <= LONGEST_LINE_BYTES:
        return block
    lines = block.split(b"\n")
    return b"\n".join(line if len(line) <= LONGEST_LINE_BYTES else b"" for line in lines)


# -------------------------------------------------------------------------------------------------
# Why lines of a file are no results, for files in which the database found such lines.

_SHOWN = 3
_OF_BOTH = ("run_id", "machine_id", "experiment", "started_at")
_OF_A_RESULT = (
    *("operation_id", "cell", "repetition", "warmup", "step", "step_index", "status"),
    *("duration_s", "requested"),
)


def explain(path: Path, *, good: int) -> list[str]:
    """What is wrong with lines of a file, of which `good` are as they should be.

    Raises `OSError`.
    """
    lines, found = 0, []
    for number, line in _numbered_lines(path):
        lines += 1
        reason = _why_bad(line)
        if reason:
            found.append(f"line {number} {reason}")
    odd = lines - len(found) - good
    if odd > 0:
        found.append(f"{odd} lines with values that no result has")
    return [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else found


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; overlong ones are cut."""
    with path.open("rb") as stream:
        number, begins = 0, True
        while line := stream.readline(LONGEST_LINE_BYTES + 2):
            number += begins
            if begins and line.strip():
                yield number, line
            begins = line.endswith(b"\n")


def _why_bad(line: bytes) -> str:
    if len(line) > LONGEST_LINE_BYTES:
        return "is too long"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON" if line.endswith(b"\n") else "is torn, as of a run that still goes on"
    if not isinstance(record, dict) or record.get("kind") not in ("run", "resume", "result"):
        return "is neither a run nor a result"
    is_result = record["kind"] == "result"
    wanted = (*_OF_BOTH[:-1], *_OF_A_RESULT) if is_result else _OF_BOTH
    missing = [name for name in wanted if record.get(name) is None]
    return f"lacks {', '.join(missing[:_SHOWN])}" if missing else ""


# -------------------------------------------------------------------------------------------------
# The tables' rows of many files of JSON lines.

# Which file of a part holds which table.
FILES: Mapping[str, str] = {"runs": "runs.parquet", "results": "results.parquet"}
# Longer lines are never in a batch; the marks make each a little longer.
_LONGEST_LINE_BYTES = LONGEST_LINE_BYTES + 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """How many lines of one file are good, and how many repeat an operation."""

    good: int = 0
    repeated: int = 0


def read(connection: Connection, files: Sequence[StoredFile], into: Path) -> dict[str, str]:
    """Write `runs.parquet` and `results.parquet` of files in one folder to `into`, which is made.

    Both have the columns of the tables; `file` is a file's name in its folder. Returns by that name
    what was passed over, and why.
    """
    into.mkdir(parents=True)
    seen = Seen()
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
    connection: Connection, files: Mapping[int, StoredFile], into: Path, seen: Seen
) -> Iterator[Path]:
    """Parquet files with a row for each line; a group of files that is refused is halved."""
    mark, batch = f"file-{secrets.token_hex(6)}", into / "batch.jsonl"
    made: list[Path] = []
    try:
        for _ in written(files, batch, mark, seen):
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
    """Why a file is refused. Raises `error` where its stage could not be written instead."""
    try:
        connection.execute(f"SELECT count(kind) FROM {_lines(batch, mark)}")
    except database.sql_error() as refusal:
        return database.first_line(refusal)
    raise error


def _lines(batch: Path, mark: str) -> str:
    """SQL of lines as rows; `number` and `line` are the numbers of their file and of themselves.

    Every column of a bad line is NULL.
    """
    keys = ", ".join(f'"{name}" {kind}' for name, kind in columns.LINE.items())
    return (
        "(SELECT place[1] AS number, place[2] AS line, unnest(keys)"
        f" FROM read_json({texts([batch])},"
        " format='newline_delimited', compression='uncompressed', ignore_errors=true,"
        f" maximum_object_size={_LONGEST_LINE_BYTES},"
        f" columns={{{text(mark)}: 'BIGINT[]', line: {text(f'STRUCT({keys})')}}}) t(place, keys))"
    )


def _name_lines(
    connection: Connection, files: Sequence[StoredFile], stages: Sequence[Path]
) -> None:
    """Make the view `stage` of all lines, with the names of their files."""
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
    """SQL of a table's rows. They are made unique only where operations repeat: it is slow."""
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
        remarks += explain(path, good=count.good)
    return "; ".join(remarks)
