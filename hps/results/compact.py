"""All runs that an experiment began on one day, as two Parquet files in the bucket.

`<folder>/compact/<runs|results>/experiment=<name>/day=<yyyy-mm-dd>/<runs|results>.parquet`: the day
is that on which a run began, in UTC. The columns are those of the tables, less the experiment,
which is in the path, and the file; JSON is text, which any engine reads. No run is lost: a file is
replaced by one that has its runs as well. No other file is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hps.errors import MachineError, NotStoredError
from hps.process import temporary
from hps.results import database, tables
from hps.results.columns import TABLES
from hps.results.database import text
from hps.results.index import Tell
from hps.results.query import check_names, of_experiments
from hps.targets.copy import BucketPlace, Watch, fetch, send
from hps.tools.client import Copied

if TYPE_CHECKING:
    from hps.results.database import Connection


FOLDER = "compact"
# A folder of this name is read by others: no character in it may mean anything to them.
_NAME = "[a-z0-9][a-z0-9._-]{0,62}"
_DAY = "try_strptime(left(run_id, 8), '%Y%m%d')::DATE"
_IS_COMPACTED = f"regexp_full_match(experiment, {text(_NAME)}) AND {_DAY} IS NOT NULL"
_ORDER = {"runs": "run_id", "results": "run_id, started_at, step_index, operation_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """How many files hold how many runs and results, and how many of them were sent anew.

    `left_out` runs have an id without a date, or an experiment whose name no folder can have.
    """

    files: int
    sent: int
    runs: int
    results: int
    left_out: int


def compact(
    place: BucketPlace, inputs: Sequence[Path], experiments: Sequence[str], watch: Watch, tell: Tell
) -> Compacted:
    """Write what `inputs` hold of these experiments (none named: all) to the bucket.

    Raises `HpsError` for an experiment without results, `MachineError` where the bucket can't be
    read, and `NotStoredError` where it can't be written to.
    """
    with temporary.folder("hps-compact-") as scratch:
        compacted, before, after = place.inside(FOLDER), scratch / "before", scratch / "after"
        for folder in (before, after):
            folder.mkdir()
        _fetch(compacted, before, watch)
        with tables.opened([*inputs, before], tell) as opened:
            _check_all_read(compacted, before, opened.skipped)
            check_names(opened, experiments)
            wanted = f"({of_experiments(experiments)}) AND {_IS_COMPACTED}"
            left_out = _count(opened.connection, "runs", f"({_IS_COMPACTED}) IS NOT TRUE")
            counts = {table: _count(opened.connection, table, wanted) for table in TABLES}
            files = _write(opened.connection, wanted, after)
        sent = _send(compacted, after, watch)
    return Compacted(
        files=files,
        sent=len(sent.new) + len(sent.replaced),
        runs=counts["runs"],
        results=counts["results"],
        left_out=left_out,
    )


def _fetch(place: BucketPlace, into: Path, watch: Watch) -> None:
    copied = fetch(place, into, watch, rules=("+ *.parquet", "- **"))
    why = _first_failure(copied)
    if why and not copied.nothing_there:
        hint = "what stands there has to be read before it is replaced"
        raise MachineError(f"{place.name} cannot be read: {why}", hint)


def _check_all_read(place: BucketPlace, before: Path, skipped: Mapping[str, str]) -> None:
    """Raises where an object could not be read: replacing it would lose its runs."""
    root = f"{before.resolve()}/"
    for path, why in skipped.items():
        if path.startswith(root):
            name = f"{place.name}/{path.removeprefix(root)}"
            hint = "look at it, and remove it if nobody needs it"
            raise MachineError(f"{name} is none of the files that belong there: {why}", hint)


def _count(connection: Connection, table: str, where: str) -> int:
    counted = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()
    return int(counted[0]) if counted else 0


def _write(connection: Connection, where: str, into: Path) -> int:
    """Writes a file for each table, experiment and day; the same rows give the same bytes."""
    connection.execute("SET threads = 1")
    files = 0
    for table, order in _ORDER.items():
        rows = f"FROM {table} WHERE {where}"
        days = connection.execute(f"SELECT DISTINCT experiment, {_DAY} {rows}").fetchall()
        for experiment, day in days:
            path = into / table / f"experiment={experiment}" / f"day={day}" / f"{table}.parquet"
            path.parent.mkdir(parents=True)
            here = f"experiment = {text(experiment)} AND {_DAY} = {text(day)}"
            query = f"SELECT {_selected(connection, table)} {rows} AND {here} ORDER BY {order}"
            database.write_parquet(connection, query, path)
        files += len(days)
    return files


def _selected(connection: Connection, table: str) -> str:
    """The columns that are not in the path. JSON becomes text: not every engine knows it."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    return ", ".join(
        f'"{name}"::VARCHAR AS "{name}"' if kind == "JSON" else f'"{name}"'
        for name, kind, *_ in described
        if name not in {"experiment", "file"}
    )


def _send(place: BucketPlace, folder: Path, watch: Watch) -> Copied:
    copied = send(place, folder, watch)
    if why := _first_failure(copied):
        hint = f"may the keys in {', '.join(place.secrets)} write there?"
        raise NotStoredError(f"{place.name} cannot be written to: {why}", hint)
    return copied


def _first_failure(copied: Copied) -> str:
    return copied.error or next(iter(copied.failed.values()), "")
